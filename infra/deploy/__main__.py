"""Deploys to AWS: `python -m infra.deploy`. What the live stack has and nobody asks to change stays as it is."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.deploy import live, room
from infra.deploy.plan import Plan, Refused, asked_for, planned, warnings
from infra.template import TEMPLATE, read_template
from infra.tools import TOOLS

SAM = TOOLS / "sam" / "bin" / "sam"
SHOWN = 100
"""Characters of a value that are shown."""


def main() -> str | int | None:
    """Show what would change, ask, deploy; one line on what is wrong."""
    options = _options()
    session = boto3.Session()
    try:
        return deploy(session, options.stack, asked_for(options.set), sure=options.yes)
    except Refused as refused:
        return f"deploy: {refused}"
    except ClientError as error:
        return f"deploy: {error.operation_name}: {error}"
    except BotoCoreError as error:
        return f"deploy: {error}. Set AWS_PROFILE to a profile that may deploy."


def deploy(session: boto3.Session, stack: str, asked: Mapping[str, str], *, sure: bool) -> int:
    """Deploy the template to `stack`; the exit code of the SAM CLI. Raises Refused and botocore's errors."""
    if not session.region_name:
        raise Refused("no AWS region: set AWS_DEFAULT_REGION, or AWS_PROFILE to a profile that has one")
    cloudformation = session.client("cloudformation")
    current = live.live_stack(cloudformation, stack)
    if current is None and "ApiKeys" not in asked and sys.stdin.isatty():
        keys = input('ApiKeys, as {"SHA-256 of a key in hex": "tenant"} (docs/deploy.md; empty lets nobody in): ')
        asked = {**asked, "ApiKeys": keys.strip() or "{}"}
    plan = planned(read_template()["Parameters"], current, asked)
    region = session.region_name
    print("\n".join(shown(stack, region, plan, live.account(session.client("lambda")))))
    if not sure:
        _ask()
    if current is not None:
        live.protect(cloudformation, stack)
    with tempfile.TemporaryDirectory(prefix="coatcheck-deploy-") as scratch:
        # an infra/samconfig.toml of a guided deploy holds parameters of the day it was written
        config = Path(scratch) / "samconfig.toml"
        config.write_text("version = 0.1\n")
        done = subprocess.run(
            sam(stack, region, asked, config), env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, check=False
        )
    if done.returncode == 0:
        live.protect(cloudformation, stack)
    return done.returncode


def sam(stack: str, region: str, asked: Mapping[str, str], config: Path) -> list[str]:
    """The command that deploys. Of a stack that is there it keeps each parameter that is not named."""
    overrides = [f'{name}="{_escaped(value)}"' for name, value in asked.items()]
    return [
        *(str(SAM), "deploy", "--template-file", str(TEMPLATE), "--config-file", str(config)),
        *("--stack-name", stack, "--region", region, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *(("--parameter-overrides", *overrides) if overrides else ()),
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def shown(stack: str, region: str, plan: Plan, account: room.Account | None) -> Sequence[str]:
    """The lines that tell what would change, and what is wrong with it."""
    before = plan.live.parameters if plan.live else {}
    lines = [f"Stack {stack} in {region}: {f'is there ({plan.live.status})' if plan.live else 'is new'}."]
    for change in plan.changes:
        was = "" if change.before is None else f"{_short(change.before)} → "
        lines.append(f"  {change.name}: {was}{_short(change.after)}")
    if plan.live:
        lines.append(f"  {len(plan.values) - len(plan.changes)} parameters stay as they are.")
    told = list(warnings(plan))
    if account is None:
        told.append("Lambda does not say how much this account runs at once (lambda:GetAccountSettings): not checked.")
    else:
        told += room.complaints(account, plan.values, before)
    return [*lines, *(f"Warning: {one}" for one in told)]


def _short(value: str) -> str:
    return f"{value[:SHOWN]}…" if len(value) > SHOWN else value or "(empty)"


def _ask() -> None:
    if not sys.stdin.isatty():
        raise Refused("nobody is there to ask: say --yes (make deploy YES=1)")
    if input("Deploy? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Refused("nothing was done")


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    arguments.add_argument("--stack", default="coatcheck", help="its name (coatcheck)")
    arguments.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter to change; repeatable"
    )
    arguments.add_argument("--yes", action="store_true", help="do not ask")
    return arguments.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Deploys to AWS: `python -m coatcheck_infra.ops.deploy`.

What the live stack has and nobody asks to change stays as it is.
"""

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

from coatcheck_infra.ops.deploy import account_limits, deployed_stack
from coatcheck_infra.ops.deploy.plan import DeployRefused, Plan, make_plan, parse_parameters, warnings
from coatcheck_infra.template import TEMPLATE, read_template
from coatcheck_infra.toolchain.cache import ToolError
from coatcheck_infra.toolchain.environments import SAM, ensure_installed

MAX_VALUE_CHARACTERS = 100
"""Characters of a parameter's value that are shown."""


def main() -> str | int | None:
    """Show what would change, ask, and deploy. Returns the exit code, or one line on what is wrong."""
    options = _options()
    session = boto3.Session()
    try:
        return deploy(session, options.stack, parse_parameters(options.set), confirmed=options.yes)
    except (DeployRefused, ToolError) as refused:
        return f"deploy: {refused}"
    except ClientError as error:
        return f"deploy: {error.operation_name}: {error}"
    except BotoCoreError as error:
        return f"deploy: {error}. Set AWS_PROFILE to a profile that may deploy."


def deploy(session: boto3.Session, stack: str, requested: Mapping[str, str], *, confirmed: bool) -> int:
    """Deploy the template to `stack` and return the SAM CLI's exit code.

    Raises DeployRefused, ToolError and botocore's errors.
    """
    if not session.region_name:
        raise DeployRefused("no AWS region: set AWS_DEFAULT_REGION, or AWS_PROFILE to a profile that has one")
    cloudformation = session.client("cloudformation")
    current = deployed_stack.live_stack(cloudformation, stack)
    if current is None and "ApiKeys" not in requested and sys.stdin.isatty():
        keys = input(
            'ApiKeys, as {"SHA-256 of a key in hex": "tenant"} (docs/deploy.md; empty: every request gets 401): '
        )
        requested = {**requested, "ApiKeys": keys.strip() or "{}"}
    plan = make_plan(read_template()["Parameters"], current, requested)
    region = session.region_name
    print("\n".join(describe_plan(stack, region, plan, deployed_stack.account(session.client("lambda")))))
    if not confirmed:
        _confirm()
    ensure_installed(SAM, os.environ, print)
    if current is not None:
        deployed_stack.protect(cloudformation, stack)
    with tempfile.TemporaryDirectory(prefix="coatcheck-deploy-") as scratch:
        # an infra/samconfig.toml of an earlier guided deploy holds the parameters of that day: do not use it
        config = Path(scratch) / "samconfig.toml"
        config.write_text("version = 0.1\n")
        done = subprocess.run(
            sam(stack, region, requested, config), env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, check=False
        )
    if done.returncode == 0:
        deployed_stack.protect(cloudformation, stack)
    return done.returncode


def sam(stack: str, region: str, requested: Mapping[str, str], config: Path) -> list[str]:
    """Build the command that deploys. An existing stack keeps each parameter that is not named."""
    overrides = [f'{name}="{_escaped(value)}"' for name, value in requested.items()]
    program = SAM.python(os.environ).with_name("sam")
    return [
        *(str(program), "deploy", "--template-file", str(TEMPLATE), "--config-file", str(config)),
        *("--stack-name", stack, "--region", region, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *(("--parameter-overrides", *overrides) if overrides else ()),
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def describe_plan(stack: str, region: str, plan: Plan, account: account_limits.Account | None) -> Sequence[str]:
    """Return lines on what would change, with warnings."""
    before = plan.live.parameters if plan.live else {}
    lines = [f"Stack {stack} in {region}: {f'exists ({plan.live.status})' if plan.live else 'will be created'}."]
    for change in plan.changes:
        was = "" if change.before is None else f"{_short(change.before)} → "
        lines.append(f"  {change.name}: {was}{_short(change.after)}")
    if plan.live:
        lines.append(f"  {len(plan.values) - len(plan.changes)} parameters stay as they are.")
    warning_lines = list(warnings(plan))
    if account is None:
        warning_lines.append("The concurrency limit of this account is not checked: allow lambda:GetAccountSettings.")
    else:
        warning_lines += account_limits.concurrency_warnings(account, plan.values, before)
    return [*lines, *(f"Warning: {one}" for one in warning_lines)]


def _short(value: str) -> str:
    return f"{value[:MAX_VALUE_CHARACTERS]}…" if len(value) > MAX_VALUE_CHARACTERS else value or "(empty)"


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise DeployRefused("there is no terminal to ask on: give --yes (make deploy YES=1)")
    if input("Deploy? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise DeployRefused("canceled; nothing was changed")


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="python -m coatcheck_infra.ops.deploy", description=__doc__)
    arguments.add_argument("--stack", default="coatcheck", help="its name (coatcheck)")
    arguments.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter to change; repeatable"
    )
    arguments.add_argument("--yes", action="store_true", help="do not ask")
    return arguments.parse_args()


if __name__ == "__main__":
    sys.exit(main())

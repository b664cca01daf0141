"""Deploys a project to AWS: what `coatcheck deploy` does.

What the live stack has and nobody asks to change stays as it is. The project and the options say what is asked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coatcheck_infra.ops.deploy import account_limits, deployed_stack, lanes
from coatcheck_infra.ops.deploy.plan import DeployRefused, Plan, make_plan, warnings
from coatcheck_infra.ops.deploy.target import StackTarget
from coatcheck_infra.toolchain.environments import SAM, ensure_installed

MAX_VALUE_CHARACTERS = 100
"""Characters of a parameter's value that are shown."""


YES = {"y", "Y", "yes"}


@dataclass(frozen=True)
class Request:
    """What is asked for: a template, its `parameters` as it declares them, and the values to set.

    `options` are the values of the command's options. They go before `project`, those of pyproject.toml.
    """

    template: Path
    declared: Mapping[str, Mapping[str, object]]
    project: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, str]:
        """The value of each parameter that is asked for."""
        return {**self.project, **self.options}


def deploy(target: StackTarget, request: Request, *, confirmed: bool) -> int:
    """Show what would change, ask unless `confirmed`, and deploy. Returns the SAM CLI's exit code.

    Raises DeployRefused, ToolError and botocore's errors.
    """
    cloudformation = target.client("cloudformation")
    current = deployed_stack.live_stack(cloudformation, target.stack)
    requested = request.values
    plan = make_plan(request.declared, current, requested)
    print("\n".join(describe_plan(target, request, plan, deployed_stack.account(target.client("lambda")))))
    if not confirmed:
        confirm("Deploy? [y/N] ", YES)
    ensure_installed(SAM, os.environ, print)
    if current is not None:
        deployed_stack.protect(cloudformation, target.stack)
    with tempfile.TemporaryDirectory(prefix="coatcheck-deploy-") as scratch:
        # a samconfig.toml of an earlier guided deploy holds the parameters of that day: do not use it
        config = Path(scratch) / "samconfig.toml"
        config.write_text("version = 0.1\n")
        done = subprocess.run(
            sam(target, request.template, requested, config, image_repository(plan.values)),
            env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
            check=False,
        )
    if done.returncode == 0:
        deployed_stack.protect(cloudformation, target.stack)
        if current is None:
            print(f"Create an API key for each client: coatcheck keys create TENANT --stack {target.stack}")
    return done.returncode


def image_repository(values: Mapping[str, str]) -> str | None:
    """Return the repository of the API's function, if that is an image in the stack with the parameters `values`."""
    return values["ApiImage"].partition("@")[0] if values.get("Streaming") == "on" and "ApiImage" in values else None


def sam(
    target: StackTarget, template: Path, requested: Mapping[str, str], config: Path, repository: str | None = None
) -> list[str]:
    """Build the command that deploys. An existing stack keeps each parameter that is not named.

    With a function that is an image, the SAM CLI wants a `repository`, though it puts nothing there.
    """
    overrides = [f'{name}="{_escaped(value)}"' for name, value in requested.items()]
    program = SAM.python(os.environ).with_name("sam")
    return [
        *(str(program), "deploy", "--template-file", str(template), "--config-file", str(config)),
        *("--stack-name", target.stack, "--region", target.region, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *(("--image-repository", repository) if repository else ()),
        *(("--parameter-overrides", *overrides) if overrides else ()),
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def describe_plan(
    target: StackTarget, request: Request, plan: Plan, account: account_limits.Account | None
) -> Sequence[str]:
    """Return lines on what would change, with warnings."""
    before = plan.live.parameters if plan.live else {}
    state = f"exists ({plan.live.status})" if plan.live else "will be created"
    lines = [f"Stack {target.stack} in {target.region}: {state}."]
    for change in plan.changes:
        was = "" if change.before is None else f"{_short(change.before)} → "
        asked = " (pyproject.toml)" if request.project.get(change.name) == change.after else ""
        lines.append(f"  {change.name}: {was}{_short(change.after)}{asked}")
    if plan.live:
        lines.append(f"  {len(plan.values) - len(plan.changes)} parameters stay as they are.")
    warning_lines = [*warnings(plan), *lanes.lane_warnings(request.declared, before)]
    warning_lines += lanes.override_warnings(request.options, request.project)
    if account is None:
        warning_lines.append("The concurrency limit of this account is not checked: allow lambda:GetAccountSettings.")
    else:
        warning_lines += account_limits.concurrency_warnings(account, plan.values, before)
    return [*lines, *(f"Warning: {one}" for one in warning_lines)]


def _short(value: str) -> str:
    return f"{value[:MAX_VALUE_CHARACTERS]}…" if len(value) > MAX_VALUE_CHARACTERS else value or "(empty)"


def confirm(question: str, answers: Collection[str]) -> None:
    """Ask on the terminal. Raises DeployRefused unless the answer is one of `answers`, or there is no terminal."""
    if not sys.stdin.isatty():
        raise DeployRefused("there is no terminal to ask on: give --yes")
    if input(question).strip() not in answers:
        raise DeployRefused("canceled; nothing was changed")

"""Which stack a command works on: what the project says, unless an option says something else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.project.config import Project, find_project

STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")


@dataclass(frozen=True)
class StackTarget:
    """A stack, by its name and region, and the session that reaches it."""

    stack: str
    region: str
    session: boto3.Session

    def client(self, service: str) -> Any:
        """Return a client of an AWS service in the stack's region."""
        return self.session.client(service)


def project_of(folder: Path, stack: str | None, region: str | None) -> Project:
    """Return the project of `folder`, with the stack and the region of the options. Raises ProjectError."""
    project = find_project(folder)
    given = {key: value for key, value in (("stack", stack), ("region", region)) if value is not None}
    deploy = project.config.deploy.model_copy(update=given)
    return replace(project, config=project.config.model_copy(update={"deploy": deploy}))


def target_of(stack: str | None, region: str | None) -> StackTarget:
    """Return the stack of that name and region; without a region, it is that of the shell. Raises DeployRefused."""
    if stack is None:
        raise DeployRefused('the stack has no name: set stack = "…" in [tool.coatcheck.deploy], or give --stack')
    if not STACK_NAME.fullmatch(stack):
        raise DeployRefused(f"{stack!r} is no name of a stack: letters, digits and hyphens, a letter first")
    session = boto3.Session(region_name=region)
    if not session.region_name:
        raise DeployRefused('no AWS region: set region = "…" in [tool.coatcheck.deploy], or give --region')
    return StackTarget(stack, session.region_name, session)

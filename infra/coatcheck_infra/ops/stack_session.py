"""The session that reaches a stack which `--stack` names."""

from __future__ import annotations

from pathlib import Path

import boto3

from coatcheck_infra.project.config import ProjectError, find_project


def session_of(stack: str, here: Path) -> boto3.Session:
    """Return a session in the region that the project of folder `here` deploys `stack` to, else in the shell's."""
    try:
        deploy = find_project(here).config.deploy
    except ProjectError:
        # the command needs no project, nor one that is right
        return boto3.Session()
    return boto3.Session(region_name=deploy.region if deploy.stack == stack else None)

"""A project's life on a stack, with the SAM CLI and CloudFormation: deployed, deployed from elsewhere, destroyed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from coatcheck_infra.local.environment import ACCESS_KEY, SECRET_KEY
from coatcheck_infra.ops.deploy.deploy import Request, deploy
from coatcheck_infra.ops.deploy.deployed_stack import live_stack
from coatcheck_infra.ops.deploy.destroy_project import destroy, find_stack
from coatcheck_infra.ops.deploy.lanes import project_parameters
from coatcheck_infra.ops.deploy.plan import DeployRefused, parse_parameters
from coatcheck_infra.ops.deploy.target import StackTarget, target_of
from coatcheck_infra.ops.target_deployment import from_stack
from coatcheck_infra.project.config import find_project
from coatcheck_infra.project.project_template import write_template
from tests.aws.emulators import ministack

URL = f"https://{'jobs.' * 36}example"
FIRST = """\
[tool.coatcheck]
jobs = ["jobs.words"]
lanes = { heavy = { memory = 512 } }
deploy = { stack = "words", parameters = { MaxRetentionDays = 90 } }
"""
SECOND = """\
[tool.coatcheck]
jobs = ["jobs.words"]
lanes = { default = { concurrency = 5 }, gpu-large = { memory = 4096 } }
deploy = { stack = "words", parameters = { MaxRetentionDays = 90 } }
handlers = { environment = { MODEL = "small" }, secrets = { PAYMENTS_KEY = "payments/key" } }
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackTarget]:
    """A stack in an account of its own, which the SAM CLI reaches too."""
    with ministack(tmp_path) as url:
        for name, value in (
            ("AWS_ENDPOINT_URL", url),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ):
            monkeypatch.setenv(name, value)
        yield target_of("words", "us-east-1")


def deploy_from(machine: Path, target: StackTarget, pyproject: str, *options: str) -> int:
    """Deploy a project whose zips are built already, from a machine that has nothing but the project."""
    zips = machine / "build" / "lambda"
    zips.mkdir(parents=True)
    (machine / "pyproject.toml").write_text(pyproject)
    for name in ("service", "worker"):
        with ZipFile(zips / f"{name}.zip", "w") as archive:
            archive.writestr("nothing.py", "")
    project = find_project(machine)
    template = write_template(project, zips)
    declared = json.loads(template.read_text())["Parameters"]
    request = Request(template, declared, project_parameters(project.config), parse_parameters(options))
    return deploy(target, request, confirmed=True)


def parameters(target: StackTarget) -> dict[str, str]:
    live = live_stack(target.client("cloudformation"), target.stack)
    assert live is not None
    return dict(live.parameters)


def worker_environment(target: StackTarget, lane: str) -> dict[str, Any]:
    functions = target.client("lambda").list_functions()["Functions"]
    (found,) = (one for one in functions if f"{lane}Worker" in one["FunctionName"])
    environment: dict[str, Any] = found["Environment"]["Variables"]
    return environment


def test_a_project_is_deployed_changed_from_another_machine_and_destroyed(
    target: StackTarget, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert deploy_from(first, target, FIRST, f"PublicUrl={URL}", "DefaultLaneConcurrency=20", "LogRetentionDays=7") == 0
    made = parameters(target)
    assert (made["HeavyLaneMemory"], made["MaxRetentionDays"]) == ("512", "90")
    capsys.readouterr()

    assert deploy_from(second, target, SECOND) == 0
    shown = capsys.readouterr().out
    assert "DefaultLaneConcurrency: 20 → 5 (pyproject.toml)" in shown
    assert "Lane heavy is in the stack and no longer in pyproject.toml" in shown
    changed = parameters(target)
    # what nobody asked for stays, though this machine never knew it
    assert (changed["PublicUrl"], changed["LogRetentionDays"]) == (URL, "7")
    assert (changed["DefaultLaneConcurrency"], changed["GpuLargeLaneMemory"]) == ("5", "4096")
    settings = from_stack("words", target.session).settings
    assert settings.lanes == ["default", "gpu-large"]
    given = worker_environment(target, "GpuLarge")
    assert given["MODEL"] == "small"
    assert json.loads(given["COATCHECK_SECRETS"]) == {"PAYMENTS_KEY": "payments/key"}
    assert given["COATCHECK_JOBS"] == "jobs.words"
    assert json.loads(given["COATCHECK_QUEUES"]).keys() == {"default", "gpu-large", "webhooks"}

    doomed = find_stack(target.client("cloudformation"), target.stack)
    destroy(target.client, doomed, keep_data=False, poll=0.05)
    with pytest.raises(DeployRefused, match="there is no stack words"):
        find_stack(target.client("cloudformation"), target.stack)
    assert settings.table not in target.client("dynamodb").list_tables()["TableNames"]

"""What a deploy reads of a live stack and sets, over the wire."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.local.resources import client
from coatcheck_infra.ops.deploy import deployed_stack
from coatcheck_infra.ops.deploy.plan import Change, make_plan
from coatcheck_infra.template import read_template

URL = "https://pages.example"


@pytest.fixture
def cloudformation(emulator_url: str) -> Any:
    return client("cloudformation", emulator_url)


@pytest.fixture
def stack(cloudformation: Any) -> Iterator[str]:
    """A stack with the template's parameters, some of them another than the default, and one queue."""
    name = f"live-{secrets.token_hex(4)}"
    body = {"Parameters": read_template()["Parameters"], "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    given = {"PublicUrl": URL, "MaxRetentionDays": "365"}
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    while cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_IN_PROGRESS":
        time.sleep(0.05)
    yield name
    cloudformation.delete_stack(StackName=name)


def test_a_second_machines_first_deploy_keeps_what_the_stack_has(cloudformation: Any, stack: str) -> None:
    there = deployed_stack.live_stack(cloudformation, stack)
    assert there is not None
    assert (there.status, there.parameters["PublicUrl"]) == ("CREATE_COMPLETE", URL)
    plan = make_plan(read_template()["Parameters"], there, {"LogRetentionDays": "7"})
    assert plan.changes == [Change("LogRetentionDays", "30", "7")]
    assert (plan.values["PublicUrl"], plan.values["MaxRetentionDays"]) == (URL, "365")


def test_what_is_wrong_with_the_values_is_said_before_the_build(emulator_url: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.coatcheck]\njobs = ["jobs.words"]\n')
    command = [str(Path(sys.executable).with_name("coatcheck")), "deploy", "--stack", "words", "--region", "us-east-1"]
    endpoint = {"AWS_ENDPOINT_URL": emulator_url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run(
        [*command, "--set", "DefaultLaneMemory=1"],
        cwd=tmp_path,
        env={**os.environ, **endpoint},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    refused = "coatcheck deploy: DefaultLaneMemory=1: must be a number from 256 to 10240\n"
    assert (done.returncode, done.stderr, done.stdout) == (1, refused, "")
    assert not (tmp_path / "build").exists()


def test_there_may_be_no_stack_yet(cloudformation: Any) -> None:
    assert deployed_stack.live_stack(cloudformation, f"none-{secrets.token_hex(4)}") is None


def test_what_is_kept_is_protected_from_updates(cloudformation: Any, stack: str) -> None:
    deployed_stack.protect(cloudformation, stack)
    policy = json.loads(cloudformation.get_stack_policy(StackName=stack)["StackPolicyBody"])
    (denied,) = (one for one in policy["Statement"] if one["Effect"] == "Deny")
    resources = read_template()["Resources"].values()
    kept = {one["Type"] for one in resources if one.get("DeletionPolicy", "").startswith("Retain")}
    assert set(denied["Condition"]["StringEquals"]["ResourceType"]) == kept
    assert denied["Action"] == ["Update:Replace", "Update:Delete"]


def test_the_accounts_concurrency_is_asked_for_and_may_be_kept_back(
    emulator_url: str, request: pytest.FixtureRequest
) -> None:
    account = deployed_stack.account(client("lambda", emulator_url))
    if request.node.callspec.params["emulator_url"] == "moto":
        # which does not know this request: the same as for whoever may not send it
        assert account is None
    else:
        assert account is not None
        assert account.limit == account.unreserved > 0

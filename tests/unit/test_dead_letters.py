"""`coatcheck dlq` before it speaks to AWS: where it looks, and how it tells what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.aws.call import AwsRefused, AwsUnavailable, Call
from coatcheck.core.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.core.flows.dead_letters import DEFAULT_ACTIONS, DROP_UNREADABLE_ACTIONS
from coatcheck.core.settings import BadSettings
from coatcheck_infra.ops.dead_letters.dlq_command import dlq
from coatcheck_infra.ops.dead_letters.operations import format_age, preview
from coatcheck_infra.ops.error_reports import report_errors
from coatcheck_infra.ops.target_deployment import settings_from_outputs
from coatcheck_infra.template import read_template

DOCS = Path(__file__).parents[2] / "docs"
CALL = Call("sqs", "ReceiveMessage", {}, read=lambda _: None)

RunCli = Callable[..., tuple[int, str]]


@pytest.fixture
def run_cli(tmp_path: Path) -> RunCli:
    """Types a command in a shell and a folder that know of no deployment and no AWS; its exit code and its stderr."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COATCHECK_"))}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}

    def run_cli(*argv: str, **environ: str) -> tuple[int, str]:
        command = [sys.executable, "-c", "from coatcheck.cli.main import main; main()", "dlq", *argv]
        env = plain | nowhere | environ
        ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert ended.stdout == ""
        return ended.returncode, ended.stderr

    return run_cli


class TestSettings:
    def test_the_templates_outputs_are_all_that_is_needed(self) -> None:
        template = read_template()
        found = settings_from_outputs("mine", {name: f"the {name}" for name in template["Outputs"]})
        named = (found.table, found.bucket, found.webhook_key)
        assert named == ("the TableName", "the BucketName", "the WebhookKeyArn")
        lanes = {"default": "Default", "heavy": "Heavy", "webhooks": "Webhooks"}
        assert found.queues == {lane: f"the {name}QueueUrl" for lane, name in lanes.items()}
        assert found.dead_letters == {lane: f"the {name}DeadLettersUrl" for lane, name in lanes.items()}
        variables = template["Globals"]["Function"]["Environment"]["Variables"]
        assert json.loads(variables["COATCHECK_QUEUES"]["Fn::Sub"]).keys() == found.queues.keys()

    def test_another_stack_is_told_from_it(self) -> None:
        with pytest.raises(InvalidArgumentError) as refused:
            settings_from_outputs("blog", {"BucketName": "b"})
        assert str(refused.value) == (
            "--stack blog: not a stack of Coatcheck; it has no output TableName, WebhookKeyArn, DefaultQueueUrl, "
            "DefaultDeadLettersUrl"
        )


class TestWhatIsWrong:
    def test_no_deployment(self, run_cli: RunCli) -> None:
        line = "no deployment here: start one with `coatcheck up`, or give --stack NAME, a stack of your AWS account"
        assert run_cli("list") == (5, f"coatcheck: {line}\n")

    def test_an_endpoint_file_of_another_make(self, run_cli: RunCli, tmp_path: Path) -> None:
        (tmp_path / "endpoint.json").touch(0o600)
        (tmp_path / "endpoint.json").write_text("{}")
        code, said = run_cli("redrive", COATCHECK_HOME=str(tmp_path))
        assert (code, said.count("\n")) == (2, 1)
        assert "is not as `coatcheck up` writes it" in said

    def test_a_stack_that_has_stopped(self, run_cli: RunCli, tmp_path: Path) -> None:
        (tmp_path / "endpoint.json").touch(0o600)
        (tmp_path / "endpoint.json").write_text('{"aws_endpoint_url": "http://127.0.0.1:1"}')
        code, said = run_cli("redrive", COATCHECK_HOME=str(tmp_path))
        assert (code, said.split(",")[0]) == (5, "coatcheck: no answer from http://127.0.0.1:1")

    def test_half_an_environment(self, run_cli: RunCli) -> None:
        code, said = run_cli("list", COATCHECK_BUCKET="b")
        assert code == 2
        assert said.startswith("coatcheck dlq: settings: COATCHECK_TABLE: field required; ")

    @pytest.mark.parametrize(
        ("environ", "code", "told"),
        [
            ({}, 2, "AWS: NoRegionError: no AWS region: "),
            ({"AWS_DEFAULT_REGION": "eu-west-1"}, 4, "AWS: NoCredentialsError: there are no AWS credentials: sign in"),
            (
                {"AWS_PROFILE": "none"},
                2,
                "AWS: ProfileNotFound: AWS_PROFILE names a profile that this machine does not have",
            ),
        ],
    )
    def test_no_way_into_aws(self, run_cli: RunCli, environ: dict[str, str], code: int, told: str) -> None:
        ended, said = run_cli("list", "--stack", "mine", **environ)
        assert (ended, said.count("\n")) == (code, 1), said
        assert said.startswith(f"coatcheck dlq: {told}")

    @pytest.mark.parametrize(
        ("error", "code", "beginning"),
        [
            (NoRegionError(), 2, "AWS: NoRegionError"),
            (NoCredentialsError(), 4, "AWS: NoCredentialsError"),
            (EndpointConnectionError(endpoint_url="https://sqs"), 5, "AWS: EndpointConnectionError"),
            (
                AwsRefused(CALL, "AccessDenied"),
                4,
                "sqs ReceiveMessage: AccessDenied: these AWS credentials lack a permission",
            ),
            (AwsRefused(CALL, "InvalidAddress"), 9, "sqs ReceiveMessage: InvalidAddress: AWS failed"),
            (AwsUnavailable(CALL, "ThrottlingException"), 5, "sqs ReceiveMessage: ThrottlingException"),
            (
                ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "DescribeStacks"),
                4,
                "cloudformation DescribeStacks: ExpiredToken: these AWS credentials are unknown",
            ),
            (BadSettings("settings: COATCHECK_TABLE: bad"), 2, "settings: COATCHECK_TABLE: bad"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    def test_an_error_is_one_line_and_an_exit_code(
        self, error: Exception, code: int, beginning: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(typer.Exit) as ended, report_errors("dlq"):
            raise error
        said = capsys.readouterr().err
        assert ended.value.exit_code == code
        assert said.startswith(f"coatcheck dlq: {beginning}")
        assert said.count("\n") == 1


def test_every_kind_has_a_treatment() -> None:
    assert DEFAULT_ACTIONS.keys() == DROP_UNREADABLE_ACTIONS.keys()
    assert {kind for kind in DEFAULT_ACTIONS if DEFAULT_ACTIONS[kind] != DROP_UNREADABLE_ACTIONS[kind]} == {
        "cannot be read",
        "not there",
    }


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (-5, "0 s"),
        (59 * SECOND, "59 s"),
        (MINUTE, "1 min"),
        (HOUR - 1, "59 min"),
        (25 * HOUR, "1 d"),
        (14 * DAY, "14 d"),
    ],
)
def test_age(milliseconds: int, shown: str) -> None:
    assert format_age(milliseconds) == shown


def test_what_cannot_be_read_cannot_drive_a_terminal() -> None:
    assert preview("\x1b[31m\n" + "x" * 300) == "[31m" + "x" * 196


def test_the_page_names_every_option() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    section = page.partition("## Dead letters")[2].partition("\n## ")[0]
    for command in typer.main.get_group(dlq).commands.values():
        assert f"`coatcheck dlq {command.name}`" in section
        for parameter in command.params:
            assert f"`{parameter.opts[0]}" in section, parameter.opts[0]

"""`coatcheck logs`: the lines of a job, in the log groups of a stack and in what `up` has kept."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck_infra.local.environment import MADE_UP
from coatcheck_infra.local.log_file import LOG_FILE, MAX_BYTES, kept_lines, open_log
from coatcheck_infra.local.resources import client, session
from coatcheck_infra.ops.logs.cloudwatch import log_groups, matching_lines
from coatcheck_infra.ops.logs.line_format import readable
from coatcheck_infra.ops.logs.operations import of_job

JOB, OTHER = "job_" + "a" * 26, "job_" + "b" * 26


@pytest.fixture
def aws() -> boto3.Session:
    return session(MADE_UP)


@pytest.fixture
def stack(emulator_url: str) -> Iterator[str]:
    """A stack with two log groups and something else."""
    name = f"logs-{secrets.token_hex(4)}"
    groups = {
        f"{part}Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/{name}/{part}"}}
        for part in ("Api", "Worker")
    }
    template = {"Resources": {**groups, "Queue": {"Type": "AWS::SQS::Queue"}}}
    cloudformation = client("cloudformation", emulator_url, MADE_UP)
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    yield name
    cloudformation.delete_stack(StackName=name)


def put(emulator_url: str, group: str, *lines: tuple[int, str]) -> None:
    logs: Any = client("logs", emulator_url, MADE_UP)
    stream = secrets.token_hex(4)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": at, "message": text} for at, text in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_the_lines_of_all_groups_come_in_the_order_of_time(stack: str, aws: boto3.Session, emulator_url: str) -> None:
    now = round(time.time() * 1000)

    def line(name: str, job: str = JOB) -> str:
        return json.dumps({"message": name, "job": job})

    api, worker = f"/{stack}/Api", f"/{stack}/Worker"
    seen = [(now - 5000, line("queued")), (now - 4000, line("another", OTHER)), (now - 1000, line("read"))]
    put(emulator_url, api, *seen)
    put(emulator_url, worker, (now - 3000, line("started")), (now - 2000, line("succeeded") + "\n"))
    groups = log_groups(aws, stack, emulator_url)
    assert sorted(groups) == [api, worker]
    found = matching_lines(aws, groups, JOB, since=now - 60_000, endpoint_url=emulator_url)
    assert [json.loads(one)["message"] for one in found] == ["queued", "started", "succeeded", "read"]


def test_a_stack_that_is_not_there_is_named(aws: boto3.Session, emulator_url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no such stack"):
        log_groups(aws, "nobodys", emulator_url)


def test_a_line_is_shown_as_text() -> None:
    at, trace = "2026-11-29T14:00:00.000Z", "Traceback\n\nValueError"
    members = {"job": JOB, "tenant": "acme", "attempt": 2, "trace": trace}
    entry = {"timestamp": at, "level": "WARN", "logger": "job.words", "message": "slow", **members}
    assert readable(json.dumps(entry)) == f"{at} WARN job.words: slow attempt=2\n  Traceback\n  ValueError"
    for other in ("START RequestId: 1", "[1]", '{"message": "of somebody else"}'):
        assert readable(other) == other


def test_what_up_keeps_is_bounded_and_shown_by_job(tmp_path: Path) -> None:
    filler = "api       │ " + "x" * 100_000
    rounds = MAX_BYTES // len(filler) + 1
    of_jobs = [f"x failed job={JOB}", "  Traceback", "  ValueError: no", "another line", f"of {OTHER}", "  Traceback"]
    with open_log(tmp_path) as keep:
        keep(f"worker    │ the first line of {JOB}")
        for _ in range(rounds):
            keep(filler)
        for text in of_jobs:
            keep(f"worker    │ {text}")
        assert (tmp_path / f"{LOG_FILE}.1").exists()
        shown = [line.partition(" │ ")[2] for line in of_job(kept_lines(tmp_path), JOB)]
        assert shown == [f"the first line of {JOB}", *of_jobs[:3]]
        for _ in range(3 * rounds):
            keep(filler)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * MAX_BYTES
    assert not list(of_job(kept_lines(tmp_path), JOB))

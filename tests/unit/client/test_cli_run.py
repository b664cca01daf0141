"""`coatcheck run`: submit, wait, and the result on standard output."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, Response

from tests.unit.client.responses import RUN, problem, reply, stored, view

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer

BODY = b'{"words":5}'
STORED = stored(BODY, "application/json")
SUBMITTED = "submitted job_a\n"


def run(*options: str) -> tuple[int, bytes, str]:
    """`coatcheck run text.words`, with its output in a pipe."""
    ended = subprocess.run([*RUN, "run", "text.words", *options], capture_output=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr.decode()


@pytest.fixture
def server(fake_server: FakeServer, stack_folder: Path) -> FakeServer:
    """A server on which a job runs for a while and succeeds. The working folder names it."""
    assert stack_folder.is_dir()
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    running = JSONResponse(view("running"), headers={"Retry-After": "0"})
    fake_server.on("GET /v1/jobs/job_a", running, reply(result=STORED))
    fake_server.on("GET /v1/jobs/job_a/result", Response(BODY, media_type="application/json"))
    return fake_server


def test_the_result_alone_is_on_standard_output(server: FakeServer) -> None:
    assert run("--input", '{"a": 1}', "--timeout", "5", "--metadata", "who=me") == (0, BODY, SUBMITTED)
    sent = json.loads(server.recorded[0].body)
    assert sent == {"type": "text.words", "input": {"a": 1}, "timeout": 5, "metadata": {"who": "me"}}


def test_it_goes_to_a_file(server: FakeServer, stack_folder: Path) -> None:
    assert run("-o", "words.json") == (0, b"", SUBMITTED)
    assert (stack_folder / "words.json").read_bytes() == BODY
    assert server.calls()[-1] == "GET /v1/jobs/job_a/result"


def test_a_job_that_is_done_at_once_is_not_asked_for(server: FakeServer) -> None:
    server.on("POST /v1/jobs", reply(result=STORED))
    assert run() == (0, BODY, "")
    assert server.calls() == ["POST /v1/jobs", "GET /v1/jobs/job_a/result"]


@pytest.mark.parametrize("status", ["failed", "canceled", "timed_out", "expired"])
def test_a_job_that_did_not_succeed_has_no_result(server: FakeServer, status: str) -> None:
    server.on("GET /v1/jobs/job_a", reply(status))
    assert run() == (1, b"", f"{SUBMITTED}coatcheck: job_a {status}\n")


def test_a_connection_lost_while_waiting_says_how_to_go_on(server: FakeServer) -> None:
    server.on("GET /v1/jobs/job_a", problem(500))
    code, out, err = run()
    assert (code, out) == (9, b"")
    assert err.splitlines() == [
        "submitted job_a",
        "stopped waiting for job_a, which goes on; follow it with: coatcheck status job_a",
        "coatcheck: Refused",
    ]


def test_a_mistake_is_found_before_anything_is_sent(server: FakeServer) -> None:
    assert run("--upload", "text=nowhere.txt")[:2] == (2, b"")
    assert server.recorded == []

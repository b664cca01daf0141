"""What the command line says, and ends with, when something is wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from coatcheck.cli import exit_codes
from tests.unit.client.responses import RUN, problem, reply, stored

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer, Run


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, exit_codes.INVALID),
        (401, exit_codes.UNAUTHORIZED),
        (403, exit_codes.UNAUTHORIZED),
        (404, exit_codes.NOT_FOUND),
        (409, exit_codes.CONFLICT),
        (410, exit_codes.NOT_FOUND),
        (413, exit_codes.INVALID),
        (415, exit_codes.INVALID),
        (418, exit_codes.SERVER_ERROR),
        (422, exit_codes.INVALID),
        (500, exit_codes.SERVER_ERROR),
    ],
)
def test_exit_codes_of_error_answers(run: Run, fake_server: FakeServer, status: int, code: int) -> None:
    errors = [{"pointer": "/input/seconds", "detail": "too small"}]
    fake_server.on("POST /v1/jobs", problem(status, detail="It will not do", errors=errors))
    ended, out, err = run("submit", "demo.sleep", "--json")
    assert (ended, out) == (code, "")
    assert err == "coatcheck: It will not do (/input/seconds: too small)\n"


def test_exit_codes_of_results(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", reply("running"))
    assert run("result", "job_a") == (7, "", "coatcheck: job_a is running, not finished yet\n")
    fake_server.on("GET /v1/jobs/job_a", reply("failed", error={"title": "Handler failed"}))
    assert run("result", "job_a") == (1, "", "coatcheck: job_a failed: Handler failed\n")
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(b"right", "text/csv")))
    fake_server.on("GET /v1/jobs/job_a/result", Response(b"wrong"))
    code, _, err = run("result", "job_a")
    assert (code, "damaged" in err) == (9, True)
    code, _, err = run("result", "job_a", "-o", "missing/folder/out")
    assert (code, err) == (2, "coatcheck: missing/folder/out: No such file or directory\n")


def test_a_server_that_runs_no_longer(run: Run, stack_folder: Path) -> None:
    file = stack_folder / ".coatcheck" / "endpoint.json"
    file.write_text(json.dumps({"url": "http://127.0.0.1:1", "api_key": "k"}))
    line = f"coatcheck: no answer from http://127.0.0.1:1, which {file} names: start one with `coatcheck up`\n"
    assert run("status", "job_a") == (5, "", line)
    file.unlink()
    assert run("status", "job_a")[0] == 5


def test_a_server_that_cannot_be_reached() -> None:
    argv = [*RUN, "status", "job_a", "--url", "http://127.0.0.1:1", "--api-key", "k"]
    ended = subprocess.run(argv, capture_output=True, check=False, text=True)
    line = "coatcheck: could not reach http://127.0.0.1:1: Connection refused\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (5, "", line)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["status"], "Missing argument 'JOB'"),
        (["submit", "t", "--delay", "soon"], "Invalid value for '--delay'"),
        (["submit", "t", "--idempotency-key", "ключ"], "coatcheck: an idempotency key must be 1 to 255 visible ASCII"),
        (["submit", "t", "--idempotency-key", ""], "coatcheck: an idempotency key must be 1 to 255 visible ASCII"),
        (["status", "job_\udcff"], "coatcheck: the arguments are not UTF-8"),
        (["list", "--limit", "0"], "limit"),
        (["status", "job_a", "--url", "nowhere", "--api-key", "k"], "coatcheck: 'nowhere' is not a server URL"),
    ],
)
def test_usage(run: Run, argv: list[str], line: str) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert line in err
    assert "Traceback" not in err


def test_environment_names_the_server(run: Run, fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server.on("GET /v1/jobs/job_a", reply())
    monkeypatch.setenv("COATCHECK_URL", fake_server.url)
    monkeypatch.setenv("COATCHECK_API_KEY", "from-env")
    assert run("status", "job_a")[0] == 0
    assert run("status", "job_a", "--api-key", "from-option")[0] == 0
    assert [recorded.headers["authorization"] for recorded in fake_server.recorded] == [
        "Bearer from-env",
        "Bearer from-option",
    ]

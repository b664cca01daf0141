"""The command line against a real stack: what the README promises, typed as a user types it."""

from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.up_process import COATCHECK, RunCli, Stack
from tests.waiting import eventually


def submitted(run_cli: RunCli, *argv: str) -> str:
    ended = run_cli("submit", *argv)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def read_json(run_cli: RunCli, *argv: str) -> Any:
    ended = run_cli(*argv, "--json")
    assert ended.stderr == ""
    return json.loads(ended.stdout)


def test_upload_query_wait_and_download(run_cli: RunCli, tmp_path: Path) -> None:
    with (tmp_path / "flights.csv").open("w") as file:
        csv.writer(file).writerows([("carrier", "distance"), ("UA", 100), ("AA", 50), ("UA", 300)])
    (tmp_path / "query.json").write_text(
        '{"sql": "SELECT carrier, sum(distance) AS d FROM flights GROUP BY 1 ORDER BY 1"}'
    )
    job = submitted(run_cli, "table.query", "-i", "@query.json", "--upload", "tables.flights=flights.csv", "--wait")
    assert run_cli("result", job, "-o", "out.csv").returncode == 0
    got = (tmp_path / "out.csv").read_bytes()
    assert got.split() == [b"carrier,d", b"AA,50", b"UA,400"]
    view = read_json(run_cli, "status", job)
    assert view["result"]["sha256"] == hashlib.sha256(got).hexdigest()
    assert run_cli("result", job).stdout.encode() == got


def test_a_result_too_large_for_the_front_door(run_cli: RunCli, tmp_path: Path) -> None:
    job = submitted(run_cli, "demo.bytes", "-i", '{"size": 12000000}', "--wait")
    assert run_cli("result", job, "-o", "large").returncode == 0
    assert (tmp_path / "large").stat().st_size == 12_000_000
    link = read_json(run_cli, "result", job)
    assert {"url", "expires_at", "size", "sha256", "content_type"} <= link.keys()


def test_what_was_logged_of_a_job_is_shown(run_cli: RunCli) -> None:
    job = submitted(run_cli, "demo.sleep", "-i", '{"seconds": 0}', "--wait")
    eventually(lambda: "job.succeeded" in run_cli("logs", job).stdout, 60)
    shown = run_cli("logs", job)
    assert shown.returncode == 0
    assert [label in shown.stdout for label in ("api  ", "worker  ", "job.queued", "job.started")] == [True] * 4
    nothing = run_cli("logs", "job_" + "0" * 26)
    assert (nothing.returncode, nothing.stdout) == (3, "")
    assert nothing.stderr == f"no line that `coatcheck up` has kept names job_{'0' * 26}\n"


def test_one_key_makes_one_job(run_cli: RunCli) -> None:
    first = submitted(run_cli, "demo.sleep", "-i", '{"seconds": 0}', "--idempotency-key", "cli-once")
    assert submitted(run_cli, "demo.sleep", "-i", '{"seconds": 0}', "--idempotency-key", "cli-once") == first
    other = run_cli("submit", "demo.sleep", "-i", '{"seconds": 1}', "--idempotency-key", "cli-once")
    assert (other.returncode, other.stdout) == (6, "")
    assert other.stderr.startswith("coatcheck: ")
    assert len(other.stderr.splitlines()) == 1


def test_options_of_submit_reach_the_job(run_cli: RunCli) -> None:
    options = ["--delay", "3600", "--timeout", "30", "--metadata", "who=me"]
    view = read_json(run_cli, "submit", "demo.sleep", "-i", '{"seconds": 0}', *options)
    assert (view["status"], view["metadata"]) == ("scheduled", {"who": "me"})
    assert run_cli("result", view["id"]).returncode == 7
    assert run_cli("cancel", view["id"]).stderr == f"{view['id']} is canceled\n"
    ended = run_cli("result", view["id"])
    assert (ended.returncode, ended.stdout) == (1, "")


def test_a_job_that_fails(run_cli: RunCli) -> None:
    ended = run_cli("submit", "demo.sleep", "-i", '{"seconds": 0, "fail": "permanent"}', "--wait")
    job = ended.stdout.strip()
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"coatcheck: {job} failed: ")
    assert run_cli("cancel", job).returncode == 8
    assert [event["type"] for event in map(json.loads, run_cli("events", job, "--json").stdout.splitlines())][
        -1
    ] == "job.failed"


def test_ctrl_c_while_waiting_leaves_the_job_alone(run_cli: RunCli, environ: dict[str, str], tmp_path: Path) -> None:
    argv = [*COATCHECK, "submit", "demo.sleep", "-i", '{"seconds": 4, "steps": 8}', "--wait"]
    with subprocess.Popen(
        argv, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        job = run.stdout.readline().strip()
        eventually(lambda: read_json(run_cli, "status", job)["status"] == "running")
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
        assert run.returncode == 130
    assert said == f"stopped waiting for {job}, which goes on; follow it with: coatcheck status {job}\n"
    eventually(lambda: read_json(run_cli, "status", job)["status"] == "succeeded")


def test_lists(run_cli: RunCli) -> None:
    job = submitted(run_cli, "demo.sleep", "-i", '{"seconds": 0}', "--wait")
    assert job in run_cli("list", "--type", "demo.sleep", "--status", "succeeded", "--limit", "100").stdout
    entries = [json.loads(line) for line in run_cli("list", "--limit", "1", "--json").stdout.splitlines()]
    assert len(entries) == 1
    assert "table.query" in run_cli("types").stdout
    assert read_json(run_cli, "types", "demo.sleep")["name"] == "demo.sleep"
    assert job in run_cli("status", job).stdout


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["status", "job_never"], 3),
        (["result", "job_never"], 3),
        (["types", "no.such"], 3),
        (["submit", "no.such"], 6),
        (["submit", "demo.sleep", "-i", '{"seconds": -1}'], 6),
        (["list", "--status", "odd"], 6),
        # a key that is given goes to no server that was found
        (["list", "--api-key", "wrong"], 2),
    ],
)
def test_refusals_are_one_line_and_a_code(run_cli: RunCli, argv: list[str], code: int) -> None:
    ended = run_cli(*argv)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (code, "", 1), ended.stderr
    assert ended.stderr.startswith("coatcheck: ")


def test_a_wrong_key_is_said_so(run_cli: RunCli, stack: Stack) -> None:
    ended = run_cli("list", "--url", stack.url, "--api-key", "wrong")
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (4, "", 1), ended.stderr

"""The command line against a server: what goes to stdout, what to stderr, and the exit code."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from coatcheck.cli import exit_codes
from coatcheck.cli.main import COMMANDS, make_app
from tests.unit.client.responses import RUN, problem, reply, stored, view

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer, Run


def test_submit_prints_the_id_alone(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    assert run("submit", "demo.sleep", "--input", '{"seconds": 1}') == (
        0,
        "job_a\n",
        "queued; follow it with: coatcheck status job_a\n",
    )
    assert json.loads(fake_server.recorded[0].body) == {"type": "demo.sleep", "input": {"seconds": 1}}
    assert fake_server.recorded[0].headers["authorization"] == "Bearer k"


def test_submit_passes_every_option_on(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse(view("scheduled"), 202, {"Idempotent-Replayed": "true"}))
    options = [
        "--idempotency-key",
        "mine",
        "--delay",
        "5",
        "--timeout",
        "60",
        "--priority",
        "high",
        "--metadata",
        "a=1",
        "--metadata",
        "b=2",
    ]
    options += ["--webhook", "https://example.com/hook"]
    assert run("submit", "demo.sleep", *options) == (
        0,
        "job_a\n",
        "scheduled (the same job as before); follow it with: coatcheck status job_a\n",
    )
    sent = fake_server.recorded[0]
    assert sent.headers["idempotency-key"] == "mine"
    metadata = {"a": "1", "b": "2"}
    assert json.loads(sent.body) == {
        "type": "demo.sleep",
        "input": {},
        "delay": 5,
        "timeout": 60,
        "priority": "high",
        "metadata": metadata,
        "webhook": {"url": "https://example.com/hook"},
    }


def test_submit_uploads_and_names_the_uploads(run: Run, fake_server: FakeServer, stack_folder: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (stack_folder / name).write_bytes(name.encode())
    tickets = [
        JSONResponse({"id": f"upl_{n}", "method": "PUT", "url": f"{fake_server.url}/bucket", "headers": {}}, 201)
        for n in (1, 2)
    ]
    fake_server.on("POST /v1/uploads", *tickets)
    fake_server.on("PUT /bucket", Response())
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    assert (
        run("submit", "t", "--input", '{"size": 9}', "--upload", "images[]=a.jpg", "--upload", "images[]=b.jpg")[0] == 0
    )
    expected = {"size": 9, "images": [{"$upload": "upl_1"}, {"$upload": "upl_2"}]}
    assert json.loads(fake_server.recorded[-1].body)["input"] == expected
    assert [recorded.body for recorded in fake_server.recorded if recorded.call == "PUT /bucket"] == [
        b"a.jpg",
        b"b.jpg",
    ]


RESUME = "the parts already sent are kept for a day; to send only the rest, add --resume upl_1\n"


def in_parts(fake_server: FakeServer, status: int) -> None:
    """One part, which the storage answers with `status`."""
    ticket = {"id": "upl_1", "part_size": 9, "next_parts": None}
    ticket["parts"] = [{"number": 1, "url": f"{fake_server.url}/bucket"}]
    upload = {"id": "upl_1", "filename": "a.jpg", "size": 5, "sha256": hashlib.sha256(b"a.jpg").hexdigest()}
    fake_server.on("POST /v1/uploads", JSONResponse(ticket, 201))
    fake_server.on("GET /v1/uploads/upl_1", JSONResponse({**upload, "ticket": ticket}))
    fake_server.on("POST /v1/uploads/upl_1/complete", JSONResponse({**upload, "ticket": None}))
    fake_server.on("PUT /bucket", Response(status_code=status))
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))


def test_an_upload_that_ended_early_is_gone_on_with(run: Run, fake_server: FakeServer, stack_folder: Path) -> None:
    (stack_folder / "a.jpg").write_bytes(b"a.jpg")
    in_parts(fake_server, 404)
    code, out, err = run("submit", "t", "--upload", "image=a.jpg")
    assert (code, out) == (exit_codes.SERVER_ERROR, "")
    assert err.startswith(RESUME)
    in_parts(fake_server, 200)
    fake_server.recorded.clear()
    assert run("submit", "t", "--upload", "image=a.jpg", "--resume", "upl_1")[0] == 0
    assert "POST /v1/uploads" not in fake_server.calls()
    assert json.loads(fake_server.recorded[-1].body)["input"] == {"image": {"$upload": "upl_1"}}


@pytest.mark.parametrize("resumed", [(), ("--resume", "upl_1")])
def test_a_submit_that_is_refused_leaves_its_uploads(
    run: Run, fake_server: FakeServer, stack_folder: Path, resumed: tuple[str, ...]
) -> None:
    (stack_folder / "a.jpg").write_bytes(b"a.jpg")
    in_parts(fake_server, 200)
    fake_server.on("POST /v1/jobs", problem(422))
    code, _, err = run("submit", "t", "--upload", "image=a.jpg", *resumed)
    assert (code, err) == (6, f"{RESUME}coatcheck: Refused\n")


def test_an_upload_of_a_file_that_is_not_named(run: Run, fake_server: FakeServer, stack_folder: Path) -> None:
    (stack_folder / "b.jpg").write_bytes(b"b.jpg")
    in_parts(fake_server, 200)
    code, out, err = run("submit", "t", "--upload", "image=b.jpg", "--resume", "upl_1")
    assert (code, out, err) == (2, "", "coatcheck: --resume upl_1: no --upload is its file, a.jpg of 5 bytes\n")


def test_a_mistake_is_found_before_anything_is_sent(run: Run, fake_server: FakeServer, stack_folder: Path) -> None:
    (stack_folder / "a.jpg").touch()
    code, out, err = run("submit", "t", "--input", '{"images": 5}', "--upload", "images[]=a.jpg")
    assert (code, out, err) == (2, "", "coatcheck: images[]: images is not a list\n")
    assert fake_server.recorded == []


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("failed", 1), ("canceled", 1), ("timed_out", 1), ("expired", 1)]
)
def test_submit_and_wait(run: Run, fake_server: FakeServer, status: str, code: int) -> None:
    error = {"title": "Handler failed", "detail": "no such column"} if status == "failed" else None
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    running = JSONResponse(view("running"), headers={"Retry-After": "0"})
    fake_server.on("GET /v1/jobs/job_a", running, running, reply(status, error=error))
    ended, out, err = run("submit", "demo.sleep", "--wait")
    assert (ended, out) == (code, "job_a\n")
    lines = {
        "succeeded": "succeeded; fetch the result with: coatcheck result job_a\n",
        "failed": "coatcheck: job_a failed: no such column\n",
    }
    assert err == lines.get(status, f"coatcheck: job_a {status}\n")
    assert run("submit", "demo.sleep", "--wait", "--json")[:2] == (
        code,
        json.dumps(view(status, error=error), indent=2) + "\n",
    )


def test_waiting_is_not_asking_when_it_is_done_already(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", reply("succeeded"))
    assert run("submit", "demo.sleep", "--wait")[0] == 0
    assert fake_server.calls() == ["POST /v1/jobs"]


def test_a_connection_lost_while_waiting_says_how_to_look_again(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    fake_server.on("GET /v1/jobs/job_a", problem(500))
    code, out, err = run("submit", "demo.sleep", "--wait")
    assert (code, out) == (9, "job_a\n")
    assert (
        err == "stopped waiting for job_a, which goes on; follow it with: coatcheck status job_a\ncoatcheck: Refused\n"
    )


def test_status(run: Run, fake_server: FakeServer) -> None:
    result = {"size": 30_100_000, "content_type": "text/csv", "sha256": "ab"}
    more = {"progress": {"fraction": 0.5, "message": "half\x1b[31m"}, "result": result, "metadata": {"who": "me"}}
    fake_server.on("GET /v1/jobs/job_a", reply("running", artifacts=[{**result, "name": "s.png"}], **more))
    code, out, _ = run("status", "job_a")
    assert code == 0
    rows = dict(re.split(r" {3,}", line, maxsplit=1) for line in out.splitlines())
    assert rows == {
        "job": "job_a",
        "type": "demo.sleep",
        "status": "running",
        "progress": "50% half\ufffd[31m",
        "attempt": "1 of 3",
        "created": "2026-11-01T10:00:00Z",
        "result": "30.1 MB, text/csv, sha256 ab",
        "artifact": "s.png, 30.1 MB, text/csv, sha256 ab",
        "metadata who": "me",
    }
    assert json.loads(run("status", "job_a", "--json")[1])["progress"] == more["progress"]


def test_result_to_a_pipe_and_to_a_file(run: Run, fake_server: FakeServer, stack_folder: Path) -> None:
    body = b"\x89PNG"
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(body, "image/png")))
    fake_server.on("GET /v1/jobs/job_a/result", RedirectResponse("/bucket", 303))
    fake_server.on("GET /bucket", Response(body))
    piped = subprocess.run([*RUN, "result", "job_a"], capture_output=True, check=False)
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, body, b"")
    assert run("result", "job_a", "-o", "out.png") == (0, "", "")
    assert (stack_folder / "out.png").read_bytes() == body


def test_an_artifact(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", reply(artifacts=[{**stored(b"x", "text/csv"), "name": "a.csv"}]))
    fake_server.on("GET /v1/jobs/job_a/result/a.csv", Response(b"x"))
    assert run("result", "job_a", "--name", "a.csv") == (0, "x", "")


def test_where_a_result_is(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(b"x", "text/csv")))
    fake_server.on("GET /v1/jobs/job_a/result", JSONResponse({"url": "http://x"}))
    code, out, _ = run("result", "job_a", "--json")
    assert (code, json.loads(out)) == (0, {"url": "http://x"})


def test_a_reader_that_has_had_enough(stack_folder: Path, fake_server: FakeServer) -> None:
    body = b"x" * 5_000_000
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(body, "text/csv")))
    fake_server.on("GET /v1/jobs/job_a/result", Response(body))
    with subprocess.Popen(
        [*RUN, "result", "job_a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=stack_folder
    ) as reading:
        assert reading.stdout
        assert reading.stderr
        assert reading.stdout.read(1) == b"x"
        reading.stdout.close()
        assert reading.stderr.read() == b""
        assert reading.wait(30) == 141


def test_list(run: Run, fake_server: FakeServer) -> None:
    first = {"data": [view(id=f"job_{n}") for n in range(2)], "next": "c"}
    second = {"data": [view("failed", id="job_2")], "next": None}
    fake_server.on("GET /v1/jobs", JSONResponse(first), JSONResponse(second))
    code, out, _ = run("list", "--status", "failed", "--type", "demo.sleep", "--limit", "3")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["JOB", "TYPE", "STATUS"],
        ["job_0", "demo.sleep", "succeeded"],
        ["job_1", "demo.sleep", "succeeded"],
        ["job_2", "demo.sleep", "failed"],
    ]
    assert fake_server.recorded[0].query == {"limit": "3", "status": "failed", "type": "demo.sleep"}
    fake_server.on("GET /v1/jobs", JSONResponse(first))
    lines = run("list", "--limit", "1", "--json")[1].splitlines()
    assert [json.loads(line) for line in lines] == [first["data"][0]]


def test_types_events_and_cancel(run: Run, fake_server: FakeServer) -> None:
    sleep = {"name": "demo.sleep", "title": "Sleep", "input": {"type": "object"}}
    fake_server.on("GET /v1/job-types", JSONResponse({"data": [sleep], "next": None}))
    fake_server.on("GET /v1/job-types/demo.sleep", JSONResponse(sleep))
    event = {"type": "job.started", "at": "2026-11-01T10:00:00Z", "attempt": 1, "error": None}
    failed = {**event, "type": "job.failed", "error": {"title": "Handler failed"}}
    fake_server.on("GET /v1/jobs/job_a/events", JSONResponse({"data": [event, failed], "next": None}))
    fake_server.on("POST /v1/jobs/job_a/cancel", JSONResponse(view("canceling"), 202))
    assert run("types")[1].split() == ["TYPE", "TITLE", "demo.sleep", "Sleep"]
    assert json.loads(run("types", "--json")[1]) == sleep
    assert json.loads(run("types", "demo.sleep")[1]) == sleep
    assert [line.split() for line in run("events", "job_a")[1].splitlines()] == [
        ["AT", "EVENT", "ATTEMPT", "ERROR"],
        ["2026-11-01T10:00:00Z", "job.started", "1"],
        ["2026-11-01T10:00:00Z", "job.failed", "1", "Handler", "failed"],
    ]
    assert json.loads(run("events", "job_a", "--json")[1].splitlines()[0]) == event
    assert run("cancel", "job_a") == (0, "", "job_a is canceling\n")
    assert json.loads(run("cancel", "job_a", "--json")[1]) == view("canceling")


def test_events_are_followed_line_by_line(run: Run, fake_server: FakeServer) -> None:
    event = {"type": "job.failed", "at": "2026-11-01T10:00:00.000Z", "attempt": 1, "error": {"title": "It failed"}}
    body = f'event: progress\ndata: {{"fraction": 0.25, "message": "on"}}\n\ndata: {json.dumps(event)}\nid: evt_1\n\n'
    fake_server.on("GET /v1/jobs/job_a/events", lambda: Response(body, media_type="text/event-stream"))
    assert [line.split() for line in run("events", "job_a", "--follow")[1].splitlines()] == [
        ["progress", "25%", "on"],
        ["2026-11-01T10:00:00.000Z", "job.failed", "1", "It", "failed"],
    ]
    lines = [json.loads(line) for line in run("events", "job_a", "-f", "--json")[1].splitlines()]
    assert lines == [{"type": "progress", "fraction": 0.25, "message": "on"}, event]


def test_a_plugin_that_cannot_be_loaded_takes_no_other_away(capsys: pytest.CaptureFixture[str]) -> None:
    broken = EntryPoint("broken", "coatcheck.no_such_module:command", "coatcheck.commands")
    fine = EntryPoint("fine", "os:getcwd", "coatcheck.commands")
    with pytest.raises(SystemExit) as ended:
        make_app([broken, fine])(args=["--help"], prog_name="coatcheck")
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    assert err == (
        "coatcheck: the command 'broken' cannot be loaded and is left out: No module named 'coatcheck.no_such_module'\n"
    )
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.strip()}
    assert {name for name, _ in COMMANDS} | {"fine"} <= listed
    assert "broken" not in listed


def test_a_plugin_may_be_a_group_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    group = EntryPoint("dlq", "coatcheck_infra.ops.dead_letters.dlq_command:dlq", "coatcheck.commands")
    with pytest.raises(SystemExit) as ended:
        make_app([group])(args=["dlq", "list", "-h"], prog_name="coatcheck")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: coatcheck dlq list [OPTIONS]\n")


def test_help_does_not_load_what_is_slow() -> None:
    program = (
        "import sys; from coatcheck.cli.main import make_app; make_app();"
        "print(sorted({'httpx', 'rich', 'pydantic', 'stamina', 'boto3'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"

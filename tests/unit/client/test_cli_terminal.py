"""The command line on a terminal, and at a pipe."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.responses import JSONResponse, Response

from tests.unit.client.responses import RUN, reply, stored, view

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer


class Terminal:
    """The command line on a terminal of its own; what it shows is read until it ends."""

    def __init__(self, cwd: Path, *argv: str, **environ: str) -> None:
        self.shown = b""
        self._screen, inside = pty.openpty()
        os.set_blocking(self._screen, False)
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **environ}
        self.process = subprocess.Popen(
            [*RUN, *argv], stdin=inside, stdout=inside, stderr=inside, cwd=cwd, env=env, start_new_session=True
        )
        os.close(inside)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.02)
            self._look()

    def finish(self) -> tuple[int, bytes]:
        self.until(lambda: self.process.poll() is not None)
        self._look()
        return self.process.returncode, self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def _look(self) -> None:
        try:
            while piece := os.read(self._screen, 65536):
                self.shown += piece
        except (BlockingIOError, OSError):
            # Linux says EIO when nobody has the terminal open any more
            return


@pytest.fixture
def terminal(stack_folder: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*argv: str, **environ: str) -> Terminal:
        opened.append(Terminal(stack_folder, *argv, **environ))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("content_type", "code"), [("image/png", 2), ("text/csv; charset=utf-8", 0), ("application/json", 0)]
)
def test_binary_is_not_thrown_at_a_terminal(
    terminal: Callable[..., Terminal], fake_server: FakeServer, content_type: str, code: int
) -> None:
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(b"bytes", content_type)))
    fake_server.on("GET /v1/jobs/job_a/result", Response(b"bytes"))
    ended, shown = terminal("result", "job_a").finish()
    assert ended == code
    refused = b"coatcheck: the result is image/png, not text for a terminal: give -o FILE, or pipe it\r\n"
    assert shown == (refused if code else b"bytes\r\n")


@pytest.mark.parametrize("body", [b'{"words":5}', b'{"words":5}\n'])
def test_the_prompt_is_not_on_the_last_line_of_a_result(
    terminal: Callable[..., Terminal], fake_server: FakeServer, body: bytes
) -> None:
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(body, "application/json")))
    fake_server.on("GET /v1/jobs/job_a/result", Response(body))
    assert terminal("result", "job_a").finish() == (0, b'{"words":5}\r\n')


def test_a_result_does_not_drive_the_terminal(terminal: Callable[..., Terminal], fake_server: FakeServer) -> None:
    body = "größe\t1\r\n\x1b]0;owned\x07\x9b2J\u202e\n".encode() + b"\xff\xc3"
    fake_server.on("GET /v1/jobs/job_a", reply(result=stored(body, "text/csv")))
    fake_server.on("GET /v1/jobs/job_a/result", Response(body))
    code, shown = terminal("result", "job_a", PYTHONIOENCODING="utf-8").finish()
    assert (code, shown.decode()) == (0, "größe\t1\r\n\ufffd]0;owned\ufffd\ufffd2J\ufffd\r\n\ufffd\r\n")


@pytest.mark.parametrize("command", [("submit", "demo.sleep", "--wait"), ("run", "demo.sleep")], ids=["submit", "run"])
def test_a_terminal_sees_progress_and_ctrl_c_stops_the_waiting_alone(
    terminal: Callable[..., Terminal], fake_server: FakeServer, command: tuple[str, ...]
) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    running = view("running", progress={"fraction": 0.42, "message": "step 3"})
    fake_server.on("GET /v1/jobs/job_a", JSONResponse(running, headers={"Retry-After": "1"}))
    waiting = terminal(*command)
    waiting.until(lambda: b"step 3" in waiting.shown and b"42%" in waiting.shown)
    waiting.process.send_signal(signal.SIGINT)
    code, shown = waiting.finish()
    assert code == 130
    assert b"stopped waiting for job_a, which goes on; follow it with: coatcheck status job_a\r\n" in shown
    assert b"Traceback" not in shown
    assert "POST /v1/jobs/job_a/cancel" not in fake_server.calls()


@pytest.mark.parametrize(("environ", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color(
    terminal: Callable[..., Terminal], fake_server: FakeServer, environ: dict[str, str], *, colored: bool
) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    running = JSONResponse(view("running", progress={"fraction": 0.4}), headers={"Retry-After": "1"})
    fake_server.on("GET /v1/jobs/job_a", running, reply())
    code, shown = terminal("submit", "demo.sleep", "--wait", **environ).finish()
    assert code == 0
    assert (b"\x1b[38;5;" in shown) == colored


def test_input_from_a_pipe(stack_folder: Path, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse(view("queued"), 202))
    subprocess.run(
        [*RUN, "submit", "t", "-i", "-"], input=b'{"a": 1}', cwd=stack_folder, check=True, capture_output=True
    )
    assert json.loads(fake_server.recorded[0].body)["input"] == {"a": 1}

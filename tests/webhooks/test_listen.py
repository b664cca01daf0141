"""`coatcheck webhooks listen` as a process: what it prints, answers and forwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from coatcheck.core.signature import derive_secret, sign

WIRED = "from coatcheck.cli import listen, main; main.COMMANDS += (('listen', listen.listen),); main.main()"
LISTEN = [sys.executable, "-c", WIRED, "listen"]
SECRET, OTHER = (derive_secret(bytes(32), name) for name in ("one", "other"))
EVENT = {"type": "job.succeeded", "timestamp": "2026-11-03T09:30:00.000Z", "data": {"id": "job_1", "version": 4}}
BODY = json.dumps(EVENT).encode()


class ListenCommand:
    """The command while it runs."""

    def __init__(self, home: Path, *argv: str, **environ: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}
        self.out, self.err = home / "out", home / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen([*LISTEN, *argv], stdout=out, stderr=err, env={**plain, **environ})
        try:
            self.until(lambda: "until Ctrl-C" in self.err.read_text())
        except BaseException:
            self.kill()
            raise
        self.url = re.findall(r"http://127\.0\.0\.1:\d+/", self.err.read_text())[0]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, self.err.read_text()
            time.sleep(0.01)

    def line(self, number: int = 0) -> str:
        """One of those printed, without its time."""
        self.until(lambda: self.out.read_text().count("\n") > number)
        return re.sub(r"^\d\d:\d\d:\d\d  ", "", self.out.read_text().splitlines()[number])

    def post(self, body: bytes = BODY, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return httpx.post(self.url, content=body, headers=headers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


Start = Callable[..., ListenCommand]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ListenCommand] = []

    def start(*argv: str, **environ: str) -> ListenCommand:
        started.append(ListenCommand(tmp_path, *argv, **environ))
        return started[-1]

    yield start
    for listening in started:
        listening.kill()


@pytest.fixture(scope="module")
def checking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListenCommand]:
    """One for many requests, with a secret."""
    listening = ListenCommand(tmp_path_factory.mktemp("listening"), "--secret", SECRET)
    yield listening
    listening.kill()


def signed(secret: str = SECRET, body: bytes = BODY) -> dict[str, str]:
    return sign([secret], "evt_1", int(time.time()), body)


@contextmanager
def local_app(status: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A receiver under development: where it is, and the headers and bytes of what it got."""
    got: list[tuple[dict[str, str], bytes]] = []

    class App(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), App) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
        server.shutdown()
        thread.join()


def test_a_verified_event_is_a_line(start: Start) -> None:
    listening = start("--secret", SECRET)
    assert listening.post(headers=signed()).status_code == 204
    assert listening.line() == "job.succeeded  job_1  evt_1  verified  answered 204"


def test_what_does_not_verify_is_told_and_refused(start: Start) -> None:
    listening = start("--secret", SECRET)
    answer = listening.post(headers=signed(OTHER))
    why = "no signature matches: the secret is wrong, or the body is not the raw bytes that came"
    assert (answer.status_code, answer.text) == (400, f"{why}\n")
    assert listening.line() == f"job.succeeded  job_1  evt_1  NOT VERIFIED: {why}  answered 400"
    assert listening.post().status_code == 400
    assert "NOT VERIFIED: missing header: webhook-id" in listening.line(1)


def test_without_a_secret_nothing_is_checked(start: Start) -> None:
    listening = start()
    assert listening.post(headers=signed(OTHER)).status_code == 204
    assert listening.line() == "job.succeeded  job_1  evt_1  not checked (no --secret)  answered 204"
    assert "signatures are not checked" in listening.err.read_text()


def test_secrets_come_from_the_environment_too(start: Start) -> None:
    listening = start(COATCHECK_WEBHOOK_SECRET=f"{OTHER} {SECRET}")
    listening.post(headers=signed())
    assert "  verified  " in listening.line()
    assert "not checked" not in listening.err.read_text()


def test_failures_can_be_tried(start: Start) -> None:
    assert start("--status", "503").post().status_code == 503


def test_json_is_a_line_with_everything(start: Start) -> None:
    listening = start("--json", "--secret", SECRET)
    headers = signed()
    listening.post(headers=headers)
    listening.until(lambda: listening.out.read_text().count("\n") == 1)
    told = json.loads(listening.out.read_text())
    assert {**{name.lower(): value for name, value in told.pop("headers").items()}, **headers}["webhook-id"] == "evt_1"
    assert told.pop("at").endswith("Z")
    assert told == {"webhook_id": "evt_1", "verified": True, "reason": None, "answered": 204, "body": EVENT}


@pytest.mark.parametrize("status", [202, 302, 410, 500])
def test_what_is_forwarded_goes_on_as_it_came(start: Start, status: int) -> None:
    body = b'{ "type":"job.failed",  "data": {"id": "j\xc3\xb6b"} }'
    with local_app(status) as (url, got):
        listening = start("--secret", SECRET, "--forward-to", url)
        headers = {**signed(body=body), "User-Agent": "Coatcheck", "X-Odd": "caf\u00e9"}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = httpx.post(listening.url, content=body, headers=raw)
        assert listening.post(headers=signed(OTHER)).status_code == 400
    assert answer.status_code == status
    assert [seen for _, seen in got] == [body]
    arrived = {name.lower(): value for name, value in got[0][0].items()}
    assert {name.lower(): value for name, value in headers.items()}.items() <= arrived.items()
    assert arrived["host"] in url
    assert listening.line().endswith(f"verified  answered {status}")


def test_an_app_that_is_not_there_is_a_502(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/hook?token=secret"
    listening = start("--forward-to", url)
    assert listening.post().status_code == 502
    assert f"not forwarded to {url.partition('?')[0]}:" in listening.line()
    assert "token" not in listening.line()


@pytest.mark.parametrize(
    ("request_bytes", "told"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "needs a Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "needs a Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n", "needs a Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "must not be chunked"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n" + b" " * 65537, "65536 bytes at most"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{}", "ended after 2 of 99"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]", "must be a JSON object"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xff\xfe", "must be a JSON object"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Unsupported method"),
        (b"\x16\x03\x01 tls\r\n\r\n", "Bad"),
    ],
)
def test_what_is_no_webhook_is_refused_with_a_reason(checking: ListenCommand, request_bytes: bytes, told: str) -> None:
    before = len(said(checking))
    with socket.create_connection(("127.0.0.1", httpx.URL(checking.url).port or 0), timeout=10) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert told in answer.decode()
    assert not answer.startswith(b"HTTP/1.0 2")
    checking.until(lambda: "refused: " in said(checking)[before:])
    assert checking.post(headers=signed()).status_code == 204
    assert "Traceback" not in said(checking)


def said(listening: ListenCommand) -> str:
    return listening.err.read_text()


def test_the_largest_body_and_one_that_would_drive_the_terminal(start: Start) -> None:
    listening = start()
    event = {"type": "\x1b[2J", "data": {"id": ["\n"]}}
    body = json.dumps(event).encode()
    assert listening.post(body + b" " * (65536 - len(body))).status_code == 204
    assert "\x1b" not in listening.line()
    assert listening.out.read_text().count("\n") == 1


def test_a_sender_that_goes_away_breaks_nothing(start: Start) -> None:
    listening = start()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", httpx.URL(listening.url).port or 0)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
    assert listening.post().status_code == 204
    assert "Traceback" not in said(listening)


def test_ctrl_c_ends_it_cleanly(start: Start) -> None:
    listening = start()
    listening.process.send_signal(signal.SIGINT)
    assert listening.process.wait(timeout=10) == 0
    assert said(listening).splitlines()[1:] == ["no longer listening"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--secret", "whsec_short"), "coatcheck: --secret: a webhook secret is whsec_ and base64 of 24 to 64 bytes"),
        (("--forward-to", "127.0.0.1:3000"), "is not a URL to forward to"),
        (("--forward-to", "ftp://x/"), "is not a URL to forward to"),
        (("--forward-to", "http://[x/"), "is not a URL to forward to"),
        (("--status", "99"), "--status"),
        (("--port", "70000"), "--port"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(argv: tuple[str, ...], told: str) -> None:
    ran = subprocess.run([*LISTEN, *argv], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = subprocess.run([*LISTEN, "--port", str(port)], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"coatcheck: cannot listen on port {port}: ")
    assert len(ran.stderr.splitlines()) == 1

"""A stand-in for the service: a scripted app behind a real server, so that every test is real HTTP."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coatcheck.cli.main import main

KEY = "key-of-the-test"
Reply = Response | Callable[[], Response]
Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class RecordedRequest:
    """A request that arrived."""

    call: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class FakeServer:
    """Answers each call with its scripted replies in turn, the last one again and again; remembers what came."""

    url: str = ""
    recorded: list[RecordedRequest] = field(default_factory=list)
    script: dict[str, list[Reply]] = field(default_factory=dict)
    arriving: int = 0

    def on(self, call: str, *replies: Reply) -> None:
        self.script[call] = list(replies)

    def calls(self) -> list[str]:
        return [recorded.call for recorded in self.recorded]

    def reset(self) -> None:
        """Begin anew, when what a client of an earlier test has broken off is through."""
        # connections are taken in order: once this is answered, what was sent before it is arriving
        with closing(HTTPConnection(urlsplit(self.url).netloc)) as last:
            last.request("GET", "/")
            last.getresponse().read()
        deadline = time.monotonic() + 10
        while self.arriving and time.monotonic() < deadline:
            time.sleep(0.01)
        self.recorded.clear()
        self.script.clear()

    async def answer(self, request: Request) -> Response:
        call = f"{request.method} {request.url.path}"
        self.arriving += 1
        try:
            body = await request.body()
        finally:
            self.arriving -= 1
        self.recorded.append(
            RecordedRequest(call, dict(request.query_params), dict(request.headers), body, time.monotonic())
        )
        replies = self.script.get(call)
        if not replies:
            return problem(404, "not-found", "Not found", f"nothing is scripted for {call}")
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply if isinstance(reply, Response) else reply()


def problem(status: int, code: str, title: str, detail: str | None = None, **more: Any) -> Response:
    headers = more.pop("headers", None)
    document = {"type": f"about:{code}", "title": title, "status": status, "detail": detail, "code": code, **more}
    return JSONResponse(document, status, headers, "application/problem+json")


def job_view(status: str = "queued", **more: Any) -> dict[str, Any]:
    """A JobView as DESIGN has it."""
    view: dict[str, Any] = {
        "id": "job_a",
        "type": "demo.sleep",
        "status": status,
        "done": status in {"succeeded", "failed", "canceled", "timed_out", "expired"},
        "version": 1,
        **dict.fromkeys(("started_at", "finished_at", "run_at", "expires_at", "progress", "error", "result")),
        "created_at": "2026-11-01T10:00:00Z",
        "updated_at": "2026-11-01T10:00:00Z",
        "attempt": 0,
        "max_attempts": 3,
        "artifacts": [],
        "metadata": {},
        "priority": "normal",
        "waiting_reason": None,
        "start_window": None,
        "replayed_from": None,
        "urls": {},
    }
    return view | more


def stored(body: bytes, content_type: str = "application/json", **more: Any) -> dict[str, Any]:
    """What a JobView says of a result with this body."""
    digest = hashlib.sha256(body).hexdigest()
    return {"size": len(body), "content_type": content_type, "sha256": digest, "expires_at": None, **more}


def job_reply(
    status: str = "queued", code: int = 200, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    return JSONResponse(job_view(status, **more), code, headers)


@pytest.fixture(scope="session")
def _served() -> Iterator[FakeServer]:
    fake_server = FakeServer()
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", fake_server.answer, methods=methods)])
    config = uvicorn.Config(app, port=0, lifespan="off", ws="none", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline, "the stand-in did not start"
        time.sleep(0.01)
    fake_server.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield fake_server
    server.should_exit = True
    thread.join()


@pytest.fixture
def fake_server(_served: FakeServer) -> FakeServer:
    _served.reset()
    return _served


@pytest.fixture
def stack_folder(fake_server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the stand-in is the server that `coatcheck up` started."""
    for name in ("COATCHECK_URL", "COATCHECK_API_KEY", "COATCHECK_HOME", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".coatcheck").mkdir()
    endpoint = tmp_path / ".coatcheck" / "endpoint.json"
    endpoint.touch(0o600)
    endpoint.write_text(json.dumps({"url": fake_server.url, "api_key": "k"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(stack_folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The command line in that folder: its exit code, its standard output and its standard error."""
    assert stack_folder.is_dir()

    def run(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.decode(), err.decode()

    return run

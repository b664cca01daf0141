"""What docs/webhooks.md shows is true, and its code is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from coatcheck.client.sync_client import Client
from coatcheck.core.api.models import JobView
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.signature import SIGNATURE, derive_secret, sign, verify
from coatcheck.core.webhooks import EVENTS, JOBS_ENDPOINT, SCHEDULE, TEST_EVENT

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET = derive_secret(bytes(32), "page")
SHOWN_SECRET = "whsec_YW4gZXhhbXBsZTogMzIgYnl0ZXMgb2YgYSBzZWNyZXQ="
UNITS = {"s": SECOND, "min": MINUTE, "h": HOUR}

Namespace = dict[str, Any]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def block(language: str, holding: str) -> str:
    (found,) = [code for code in blocks(language) if holding in code]
    return found


def signed(event: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    body = json.dumps(event).encode()
    return sign([SECRET], "evt_1", int(time.time()), body), body


def event_of(job_id: str = "job_1", version: int = 4, status: str = "succeeded") -> dict[str, Any]:
    view = {"id": job_id, "version": version, "status": status, "done": status != "started"}
    return {"type": f"job.{status}", "timestamp": "", "data": view}


def test_every_block_is_run_here() -> None:
    assert [len(blocks(language)) for language in ("python", "js")] == [4, 1]


class TestWhatArrives:
    @pytest.fixture
    def event(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(block("json", "data"))
        return shown

    def test_the_example_is_signed(self, event: dict[str, Any]) -> None:
        headers = dict(re.findall(r"^(webhook-[a-z]+): (.+)$", block("http", "POST"), re.MULTILINE))
        body = json.dumps(event, separators=(",", ":")).encode()
        assert verify(SHOWN_SECRET, headers, body, now=int(headers["webhook-timestamp"])) == event

    def test_the_example_is_a_job(self, event: dict[str, Any]) -> None:
        assert JobView.model_validate(event["data"]).model_dump(mode="json") == event["data"]

    def test_every_type_of_event_is_named(self) -> None:
        rows = re.findall(r"^\| (`(?:job|webhook)\..*?) \|", PAGE, re.MULTILINE)
        assert sorted(re.findall(r"`([a-z._]+)`", " ".join(rows))) == sorted((*EVENTS, TEST_EVENT))

    def test_the_schedule_is_the_one_that_is_kept(self) -> None:
        rows = re.findall(r"^\| (\d+) \| (\d+) (s|min|h) \|$", PAGE, re.MULTILINE)
        assert [int(number) for number, _, _ in rows] == list(range(1, len(SCHEDULE) + 1))
        assert tuple(int(wait) * UNITS[unit] for _, wait, unit in rows) == SCHEDULE

    def test_the_endpoint_of_jobs_has_its_name(self) -> None:
        assert f"/v1/webhook-endpoints/{JOBS_ENDPOINT}/rotate-secret" in PAGE


class TestPython:
    @pytest.fixture(params=["from coatcheck import BadSignature", "from standardwebhooks import"])
    def app(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("COATCHECK_WEBHOOK_SECRET", SECRET)
        namespace: Namespace = {}
        exec(block("python", request.param), namespace)
        return namespace["app"]

    async def test_a_receiver_takes_what_is_signed(self, app: Any, capsys: pytest.CaptureFixture[str]) -> None:
        headers, body = signed(event_of())
        assert (await self.post(app, headers, body)).status_code == 204
        assert capsys.readouterr().out == "job.succeeded job_1\n"

    async def test_and_the_ping(self, app: Any) -> None:
        assert (await self.post(app, *signed({"type": TEST_EVENT, "timestamp": "", "data": {}}))).status_code == 204

    @pytest.mark.parametrize("signature", ["", "v1,AAAA", "v1", "v2,AAAA", "v1,A"])
    async def test_and_refuses_the_rest(self, app: Any, signature: str, capsys: pytest.CaptureFixture[str]) -> None:
        headers, body = signed(event_of())
        refused = await self.post(app, {**headers, SIGNATURE: signature}, body)
        assert refused.status_code == 400
        assert (await self.post(app, headers, body + b" ")).status_code == 400
        assert (await self.post(app, headers, b"\xff")).status_code == 400
        assert capsys.readouterr().out == ""

    async def post(self, app: Any, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://receiver") as client:
            return await client.post("/hook", content=body, headers=headers)


class TestJavaScript:
    @pytest.fixture
    def url(self, node: str, libraries: Path, tmp_path: Path) -> Iterator[str]:
        (tmp_path / "node_modules").symlink_to(libraries / "node_modules")
        (tmp_path / "receiver.mjs").write_text(block("js", "standardwebhooks"), encoding="utf-8")
        environ = {**os.environ, "COATCHECK_WEBHOOK_SECRET": SECRET, "PORT": "0"}
        command = [node, "receiver.mjs"]
        with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                listening = process.stdout.readline()
                assert listening.startswith("listening on "), listening
                yield f"http://127.0.0.1:{listening.split()[-1]}/hook"
                assert process.stdout.readline() == "job.succeeded job_1\n"
            finally:
                process.kill()

    def test_a_receiver_takes_what_is_signed_and_refuses_the_rest(self, url: str) -> None:
        headers, body = signed(event_of())
        assert httpx.post(url, headers=headers, content=body + b" ").status_code == 400
        assert httpx.post(url, headers={**headers, SIGNATURE: "v1"}, content=body).status_code == 400
        assert httpx.post(url, content=body).status_code == 400
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0)) as broken_off:
            broken_off.sendall(b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert httpx.post(url, headers=headers, content=body).status_code == 204


class TestRecords:
    @pytest.fixture
    def page(self) -> Namespace:
        namespace: Namespace = {}
        exec(block("python", "def take"), namespace)
        exec(block("python", "def recover"), namespace)
        return namespace

    @pytest.fixture
    def database(self, page: Namespace) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(":memory:")) as database:
            page["prepare"](database)
            page["prepare"](database)
            yield database

    def test_doubles_and_stale_ones_are_dropped(self, page: Namespace, database: sqlite3.Connection) -> None:
        take: Callable[..., bool] = page["take"]
        assert take(database, "evt_2", event_of(version=4))
        assert not take(database, "evt_2", event_of(version=4))
        assert not take(database, "evt_1", event_of(version=2, status="started"))
        assert take(database, "evt_3", event_of("job_2", version=1, status="failed"))
        assert not take(database, "evt_4", {"type": TEST_EVENT, "timestamp": "", "data": {}})
        assert self.known(database) == [("job_1", 4, "succeeded"), ("job_2", 1, "failed")]

    def test_what_was_missed_is_found_again(self, page: Namespace, database: sqlite3.Connection) -> None:
        page["take"](database, "evt_1", event_of("job_1", version=2, status="started"))
        page["take"](database, "evt_2", event_of("job_2", version=3))
        views = [event_of(*job)["data"] for job in (("job_1", 4, "failed"), ("job_2", 3), ("job_3", 5))]
        with server_with(views) as (url, asked), Client(url, "key") as client:
            assert page["recover"](client, database, "2026-11-03T00:00:00Z") == 2
        assert "created_after=2026-11-03T00%3A00%3A00Z" in asked[0]
        assert self.known(database) == [("job_1", 4, "failed"), ("job_2", 3, "succeeded"), ("job_3", 5, "succeeded")]

    def known(self, database: sqlite3.Connection) -> list[tuple[str, int, str]]:
        return database.execute("SELECT id, version, status FROM jobs ORDER BY id").fetchall()


@contextmanager
def server_with(jobs: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """A server that lists these jobs: where it is, and what it was asked."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"data": jobs, "next": None}).encode())

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()

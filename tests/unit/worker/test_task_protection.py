"""A container is spared while a job runs, and only then. The agent of ECS is an HTTP server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from coatcheck_worker.supervisor.task_protection import LASTS_MINUTES, RENEWED_AFTER, RETRIED_AFTER, TaskProtection

PROTECT = {"ProtectionEnabled": True, "ExpiresInMinutes": LASTS_MINUTES}
RELEASE = {"ProtectionEnabled": False}
REFUSED = {"failure": {"Arn": "arn", "Reason": "DEPLOYMENT_BLOCKED", "Detail": None}}


@dataclass
class Agent:
    """What the agent is asked, and what it answers."""

    url: str = ""
    asked: list[tuple[str, object]] = field(default_factory=list)
    answer: object = field(default_factory=lambda: {"protection": {"ProtectionEnabled": True}})


@pytest.fixture
def agent() -> Iterator[Agent]:
    kept = Agent()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.asked.append((self.path, json.loads(body)))
            text = json.dumps(kept.answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        kept.url = f"http://127.0.0.1:{server.server_port}/api/task"
        yield kept
        server.shutdown()
        thread.join()


def bodies(agent: Agent) -> list[object]:
    assert {path for path, _ in agent.asked} <= {"/api/task/task-protection/v1/state"}
    return [body for _, body in agent.asked]


def test_it_is_asked_for_when_a_job_begins_renewed_and_given_up_when_it_ends(agent: Agent) -> None:
    busy = False
    protection = TaskProtection(agent.url, lambda: busy)
    protection.look(100.0)
    assert bodies(agent) == []
    busy = True
    for now in (101.0, 102.0, 101.0 + RENEWED_AFTER - 1):
        protection.look(now)
    assert bodies(agent) == [PROTECT]
    protection.look(101.0 + RENEWED_AFTER)
    assert bodies(agent) == [PROTECT, PROTECT]
    busy = False
    for now in (3000.0, 3001.0):
        protection.look(now)
    assert bodies(agent) == [PROTECT, PROTECT, RELEASE]
    busy = True
    protection.look(3002.0)
    assert bodies(agent)[3:] == [PROTECT]


def test_a_refusal_is_asked_again_later_and_ends_nothing(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    agent.answer = REFUSED
    protection = TaskProtection(agent.url, lambda: True)
    for now in (100.0, 101.0, 100.0 + RETRIED_AFTER - 1):
        protection.look(now)
    assert bodies(agent) == [PROTECT]
    assert "DEPLOYMENT_BLOCKED" in caplog.text
    protection.look(100.0 + RETRIED_AFTER)
    assert bodies(agent) == [PROTECT, PROTECT]


def test_an_agent_that_is_not_there_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    TaskProtection("http://127.0.0.1:1", lambda: True).look(100.0)
    assert "ECS does not protect this container" in caplog.text


@pytest.mark.parametrize("answer", [None, 5, [], "protection"])
def test_an_answer_that_is_none_of_the_agents_is_a_refusal(agent: Agent, answer: object) -> None:
    agent.answer = answer
    protection = TaskProtection(agent.url, lambda: True)
    for now in (100.0, 100.0 + RETRIED_AFTER):
        protection.look(now)
    assert bodies(agent) == [PROTECT, PROTECT]


def test_what_is_no_http_is_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"nonsense\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        TaskProtection(f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: True).look(100.0)
        thread.join()
    assert "ECS does not protect this container" in caplog.text


def test_what_could_not_be_given_up_is_given_up_later(agent: Agent) -> None:
    busy = True
    protection = TaskProtection(agent.url, lambda: busy)
    protection.look(100.0)
    busy, agent.answer = False, REFUSED
    for now in (101.0, 102.0):
        protection.look(now)
    agent.answer = {"protection": {}}
    protection.look(101.0 + RETRIED_AFTER)
    protection.look(102.0 + 2 * RETRIED_AFTER)
    assert bodies(agent) == [PROTECT, RELEASE, RELEASE]

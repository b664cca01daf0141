"""Clients that send slowly, or nothing, or too much, to the API under uvicorn alone: real sockets, no gateway."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from coatcheck_service.http_server import MAX_HEADER_BYTES, GuardedProtocol, server_config
from tests.unit.service.in_process import app

HEADER_SECONDS, BODY_SECONDS = 0.4, 0.8
GET = b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n"
MANY = 50


class Impatient(GuardedProtocol):
    """As the service's own, with times that a test can wait for."""

    header_seconds, body_seconds = HEADER_SECONDS, BODY_SECONDS


@contextmanager
def served(api: FastAPI | None = None, **options: Any) -> Iterator[tuple[str, int]]:
    """The service on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(server_config(lambda: api or app(), log_level="critical", **options))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served(http=Impatient) as address:
        yield address


def answer(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    connection.settimeout(30)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            received += chunk
    return received


def test_who_sends_nothing_is_let_go(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as idle:
        began = time.monotonic()
        assert answer(idle).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began >= HEADER_SECONDS * 0.9


def test_who_sends_headers_byte_by_byte_is_let_go_and_others_are_served(address: tuple[str, int]) -> None:
    slow = [socket.create_connection(address) for _ in range(MANY)]
    deadline = time.monotonic() + HEADER_SECONDS * 20
    pending = set(slow)
    for one in slow:
        one.sendall(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n")
    while pending and time.monotonic() < deadline:
        with socket.create_connection(address) as other:
            other.sendall(GET.replace(b"host: x", b"host: x\r\nconnection: close"))
            assert b" 200 OK" in answer(other)
        for one in list(pending):
            one.setblocking(False)
            try:
                one.send(b"a")
                if one.recv(100):
                    pending.discard(one)
            except BlockingIOError:
                pass
            except OSError:
                pending.discard(one)
        time.sleep(0.02)
    for one in slow:
        one.close()
    assert not pending


def test_the_second_request_of_a_connection_has_its_own_time(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(GET)
        assert b" 200 OK" in connection.recv(65_536)
        time.sleep(HEADER_SECONDS * 1.5)
        connection.sendall(GET[:20])
        assert b"HTTP/1.1 408 " in answer(connection)


def test_a_body_that_does_not_come_ends_the_connection(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        head = b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
        connection.sendall(head)
        began = time.monotonic()
        answer(connection)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /v1/health HTTP/1.1\r\n", b"a: b\r\n" * 500),
        (b"GET /v1/health HTTP/1.1\r\na: ", b"b" * 4000),
        (b"GET /v1/health?", b"b" * 4000),
    ],
    ids=["headers", "one header", "URL"],
)
def test_headers_without_an_end_are_cut_off(address: tuple[str, int], begin: bytes, more: bytes) -> None:
    with socket.create_connection(address) as connection:
        sent = 0
        with contextlib.suppress(OSError):
            connection.sendall(begin)
            while sent < 100 * MAX_HEADER_BYTES:
                connection.sendall(more)
                sent += len(more)
        assert sent < 100 * MAX_HEADER_BYTES


def test_so_many_connections_and_no_more_are_served() -> None:
    with served(limit_concurrency=5) as address:
        held = [socket.create_connection(address) for _ in range(5)]
        with socket.create_connection(address) as one_more:
            one_more.sendall(GET)
            assert b" 503 " in one_more.recv(65_536)
        for one in held:
            one.close()
        # the server notices that they are gone a moment later
        for _ in range(100):
            with socket.create_connection(address) as later:
                later.sendall(GET)
                if b" 200 OK" in later.recv(65_536):
                    return
            time.sleep(0.05)
        pytest.fail("the server still counts connections that were closed")


def test_the_host_of_a_request_is_in_no_answer_where_the_public_url_is_known() -> None:
    with served(app(public_url="https://jobs.example.com")) as address:
        for path in (b"/v1/jobs", b"/v1/none", b"/v1/health", b"/"):
            with socket.create_connection(address) as connection:
                lines = (b"host: evil.example", b"x-forwarded-host: evil.example", b"connection: close")
                connection.sendall(b"GET " + path + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
                assert b"evil.example" not in answer(connection)


def test_a_health_check_tells_whether_the_api_answers() -> None:
    check = [sys.executable, "-m", "coatcheck_service.health_check", "--port"]
    with served() as (_, port):
        assert subprocess.run([*check, str(port)], check=False).returncode == 0
    done = subprocess.run([*check, str(port)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"port {port} does not answer: ")
    assert done.stderr.count("\n") == 1

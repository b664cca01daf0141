"""The client over real HTTP: what is sent again, where credentials go, what a broken transfer leaves."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from coatcheck.client.exceptions import (
    ConnectionFailed,
    InvalidArgumentError,
    NotFinished,
    ProblemError,
    UnexpectedResponseError,
)
from coatcheck.client.sync_client import Client

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer

KEY = "key-of-the-test"
DONE = {"id": "job_a", "status": "succeeded", "done": True}
RUNNING = {"id": "job_a", "status": "running", "done": False}


@pytest.fixture
def client(fake_server: FakeServer) -> Iterator[Client]:
    with Client(fake_server.url + "/", KEY, retry_timeout=5) as client:
        yield client


def problem(status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"title": "No", "status": status}, status, named, "application/problem+json")


def view(document: object = DONE, status: int = 200, **headers: str) -> Response:
    return JSONResponse(document, status, {name.replace("_", "-"): value for name, value in headers.items()})


def test_submit_is_sent_again_under_the_same_key(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", problem(503, retry_after="0"), problem(502), view(RUNNING, 202, retry_after="2"))
    job = client.submit("demo.sleep", {"seconds": 1}, metadata={"a": "b"})
    assert (job.id, job.retry_after) == ("job_a", 2.0)
    keys = {recorded.headers["idempotency-key"] for recorded in fake_server.recorded}
    assert (len(fake_server.recorded), len(keys)) == (3, 1)
    assert json.loads(fake_server.recorded[2].body) == {
        "type": "demo.sleep",
        "input": {"seconds": 1},
        "metadata": {"a": "b"},
    }
    assert {recorded.headers["authorization"] for recorded in fake_server.recorded} == {f"Bearer {KEY}"}


def test_a_token_is_asked_for_at_each_request_and_each_repeat(fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", problem(503, retry_after="0"), view(), view())
    tokens = iter(["one", "two", "three"])
    with Client(fake_server.url, token=lambda: next(tokens), retry_timeout=5) as client:
        client.job("job_a")
        client.job("job_a")
    sent = [recorded.headers["authorization"] for recorded in fake_server.recorded]
    assert sent == ["Bearer one", "Bearer two", "Bearer three"]


def test_a_token_that_nobody_could_get_is_no_request(fake_server: FakeServer) -> None:
    def refused() -> str:
        raise LookupError("the issuer says no")

    with Client(fake_server.url, token=refused) as client, pytest.raises(LookupError, match="says no"):
        client.job("job_a")
    with Client(fake_server.url, token=lambda: "a\nb: c") as client, pytest.raises(InvalidArgumentError):
        client.job("job_a")
    assert fake_server.recorded == []


@pytest.mark.parametrize(
    "credentials",
    [{}, {"api_key": "k", "token": lambda: "t"}, {"api_key": ""}, {"api_key": "a\n"}, {"api_key": "\xe9"}],
)
def test_a_client_has_one_kind_of_credentials(fake_server: FakeServer, credentials: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Client(fake_server.url, **credentials)


def test_two_submits_have_two_keys(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", view(RUNNING, 202))
    client.submit("t", {})
    client.submit("t", {})
    assert fake_server.recorded[0].headers["idempotency-key"] != fake_server.recorded[1].headers["idempotency-key"]


def test_retry_after_is_waited_for(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", problem(429, retry_after="1"), view())
    client.job("job_a")
    assert fake_server.recorded[1].at - fake_server.recorded[0].at >= 1.0


def test_replay_is_not_sent_again_when_it_may_have_arrived(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs/job_a/replay", problem(502), view(RUNNING, 202))
    with pytest.raises(ProblemError):
        client.replay("job_a")
    assert len(fake_server.recorded) == 1


def test_patience_ends(fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", problem(503))
    with Client(fake_server.url, KEY, retry_timeout=2) as hasty, pytest.raises(ProblemError):
        hasty.job("job_a")
    assert 2 <= len(fake_server.recorded) <= 4


def test_nobody_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with Client(url, KEY, retry_timeout=0.1) as client, pytest.raises(ConnectionFailed) as raised:
            client.job("job_a")
    assert str(raised.value) == f"could not reach {url}: Connection refused"
    assert not raised.value.sent


@pytest.fixture
def resetting_server() -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads each request and closes the connection without an answer."""
    arrived: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    arrived.append(connection.recv(65536))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", arrived
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_connection_that_breaks(resetting_server: tuple[str, list[bytes]]) -> None:
    url, arrived = resetting_server
    with Client(url, KEY, retry_timeout=2) as client:
        with pytest.raises(ConnectionFailed, match="could not reach") as raised:
            client.replay("job_a")
        assert (len(arrived), raised.value.sent) == (1, True)
        with pytest.raises(ConnectionFailed):
            client.job("job_a")
        assert len(arrived) >= 3


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "//x", "http://[", "http://x:99999999", "http://x?a=b", "http://a\nb"],
)
def test_a_url_that_can_never_work(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not a server URL"):
        Client(url, KEY)


@pytest.mark.parametrize("key", ["", "a\nb", "ключ"])
def test_a_key_that_can_never_work(key: str) -> None:
    with pytest.raises(InvalidArgumentError, match="API key"):
        Client("http://x", key)


def test_the_api_redirecting_elsewhere_gets_no_key(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", RedirectResponse(f"{fake_server.url}/elsewhere"))
    with pytest.raises(UnexpectedResponseError, match="answered 307"):
        client.job("job_a")
    assert fake_server.calls() == ["GET /v1/jobs/job_a"]


def test_watch_until_done(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", view(RUNNING, retry_after="1"), view(RUNNING, retry_after="0"), view())
    looks = [job.status for job in client.watch("job_a", long_poll=3)]
    assert looks == ["running", "running", "succeeded"]
    assert {recorded.headers["prefer"] for recorded in fake_server.recorded} == {"wait=3"}
    assert fake_server.recorded[1].at - fake_server.recorded[0].at >= 1.0
    assert client.wait("job_a").succeeded


def test_waiting_no_longer_than_asked(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a", view(RUNNING, retry_after="0"))
    with pytest.raises(NotFinished):
        client.wait("job_a", timeout=2)
    assert len(fake_server.recorded) >= 2


def test_a_list_is_fetched_as_it_is_consumed(client: Client, fake_server: FakeServer) -> None:
    pages = [{"data": [{**DONE, "id": f"job_{n}"}], "next": f"c{n}" if n < 2 else None} for n in range(3)]
    fake_server.on("GET /v1/jobs", *[view(page) for page in pages])
    jobs = client.jobs(status="succeeded")
    assert next(jobs).id == "job_0"
    assert len(fake_server.recorded) == 1
    assert [job.id for job in jobs] == ["job_1", "job_2"]
    assert [recorded.query for recorded in fake_server.recorded] == [
        {"limit": "100", "status": "succeeded"},
        {"limit": "100", "status": "succeeded", "after": "c0"},
        {"limit": "100", "status": "succeeded", "after": "c1"},
    ]


def test_the_other_calls(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs/job_a/cancel", view(RUNNING, 202))
    fake_server.on("POST /v1/jobs/job_a/replay", view({**RUNNING, "id": "job_b"}, 202))
    fake_server.on("DELETE /v1/jobs/job_a", Response(status_code=204))
    fake_server.on("GET /v1/jobs/job_a/events", view({"data": [{"type": "job.started"}], "next": None}))
    fake_server.on("GET /v1/job-types", view({"data": [{"name": "demo.sleep"}], "next": None}))
    fake_server.on("GET /v1/job-types/demo.sleep", view({"name": "demo.sleep"}))
    fake_server.on("GET /v1/jobs/job_a/result", view({"url": "http://x"}))
    assert client.cancel("job_a").status == "running"
    assert client.replay("job_a").id == "job_b"
    client.delete("job_a")
    assert list(client.events("job_a")) == [{"type": "job.started"}]
    assert list(client.job_types()) == [{"name": "demo.sleep"}]
    assert client.job_type("demo.sleep") == {"name": "demo.sleep"}
    assert client.result_link("job_a") == {"url": "http://x"}
    assert fake_server.recorded[-1].query == {"link": "true"}

"""A time limit of the client holds, whatever the server does: a real one, that is slow in each way there is."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue

import pytest

from coatcheck.client import http_transport
from coatcheck.client.deadline import Deadline, run_with_timeout
from coatcheck.client.exceptions import (
    CoatcheckError,
    ConnectionFailed,
    InvalidArgumentError,
    NotFinished,
    ProblemError,
    TransferFailed,
)
from coatcheck.client.http_transport import HttpTransport
from coatcheck.client.job import Job
from coatcheck.client.sync_client import Client
from tests.unit.client.raw_server import DRIP, RUNNING, Behave, answers, endlessly, reads_nothing, serving, silent

TIMEOUT = 1.5
SOON = 12.0
"""Seconds in which what has a limit of TIMEOUT is over on a busy machine; without the limit it takes 30 and more."""

OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "silent": silent,
    "head byte by byte": endlessly(OK + b"X: ", b"x", pause=DRIP),
    "body byte by byte": endlessly(OK + b"Content-Length: 9999999\r\n\r\n", b" ", pause=DRIP),
    "early hints for ever": endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=DRIP),
}


@pytest.mark.parametrize(
    ("behaviours", "kind"),
    [
        *(((behave,), ConnectionFailed) for behave in DRIPS.values()),
        ((answers(RUNNING, "Retry-After: 60"),), NotFinished),
        ((answers(RUNNING, "Retry-After: 0"), silent), NotFinished),
        ((answers(b"{}", "Retry-After: 50", status="503 Busy"),), ProblemError),
        ((answers(b"{}", status="503 Busy"),), ProblemError),
        ((answers(RUNNING, "Retry-After: 0"), answers(b"{}", "Retry-After: 50", status="429 Slow")), ProblemError),
    ],
    ids=[*DRIPS, "retry-after", "silent later", "busy for long", "busy for ever", "busy later"],
)
def test_waiting_ends_when_it_is_to(behaviours: tuple[Behave, ...], kind: type[CoatcheckError]) -> None:
    with serving(*behaviours) as url, Client(url, "k", retry_timeout=100) as client:
        began = time.monotonic()
        with pytest.raises(kind):
            client.wait("job_a", timeout=TIMEOUT)
        assert time.monotonic() - began < SOON


def test_waiting_takes_all_of_its_time() -> None:
    with serving(answers(RUNNING, "Retry-After: 60")) as url, Client(url, "k") as client:
        began = time.monotonic()
        with pytest.raises(NotFinished):
            client.wait("job_a", timeout=2)
        # the last look is just before the end, not before the pause that the server asks for
        assert time.monotonic() - began >= 1.4


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_no_time_to_wait(timeout: float) -> None:
    with Client("http://127.0.0.1:1", "k") as client, pytest.raises(InvalidArgumentError, match="above 0"):
        client.wait("job_a", timeout=timeout)


@pytest.mark.parametrize("behave", DRIPS.values(), ids=DRIPS.keys())
def test_any_answer_has_its_limit(behave: Behave) -> None:
    with serving(behave) as url:
        sender = HttpTransport(url)
        began = time.monotonic()
        with pytest.raises(ConnectionFailed, match="no answer in time"):
            sender.fetch("GET", url, limit=0.5)
        assert time.monotonic() - began < SOON
        sender.close()


def test_a_retry_after_beyond_patience_is_not_waited_for() -> None:
    with (
        serving(answers(b"{}", "Retry-After: 30", status="503 Busy")) as url,
        Client(url, "k", retry_timeout=2) as client,
    ):
        began = time.monotonic()
        with pytest.raises(ProblemError) as raised:
            client.job("job_a")
        assert time.monotonic() - began < SOON
        assert raised.value.retry_after == 30


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "STALL_TIMEOUT", 0.5)


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("behave", [reads_nothing, DRIPS["head byte by byte"]], ids=["reads nothing", "answer drips"])
def test_an_upload_that_makes_no_progress_ends(behave: Behave) -> None:
    def body() -> Iterator[bytes]:
        yield from [bytes(1 << 20)] * 64

    with serving(behave) as url:
        sender = HttpTransport(url)
        began = time.monotonic()
        with pytest.raises(ConnectionFailed):
            sender.put("PUT", url, {"Content-Length": str(64 << 20)}, body())
        assert time.monotonic() - began < SOON
        sender.close()


@pytest.mark.usefixtures("short_timeouts")
def test_a_download_that_drips_is_given_up(tmp_path: Path) -> None:
    size = 1000
    stored = {"size": size, "content_type": "text/csv", "sha256": hashlib.sha256(b"x" * size).hexdigest()}
    job = Job({"id": "job_a", "status": "succeeded", "done": True, "result": stored})
    drips = endlessly(OK + b"Content-Length: 1000\r\n\r\n", b"x", pause=DRIP)
    with serving(drips) as url, Client(url, "k") as client:
        with pytest.raises(TransferFailed, match="too slow"):
            client.download(job, tmp_path / "out")
        with pytest.raises(TransferFailed, match="too slow"):
            client.read_result(job, BytesIO())
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_moves() -> None:
    ends = time.monotonic() + 0.2
    looks: list[float] = []

    def left() -> float:
        looks.append(time.monotonic())
        return max(0.0, ends + (0.4 if len(looks) > 2 else 0) - time.monotonic())

    with pytest.raises(TimeoutError):
        run_with_timeout(left, lambda: time.sleep(3))
    assert len(looks) >= 4
    assert run_with_timeout(lambda: 5.0, lambda: 7) == 7


def test_what_comes_too_late_is_discarded() -> None:
    limit, go_on, late = Deadline.after(0.05), threading.Event(), SimpleQueue[int]()
    with pytest.raises(TimeoutError):
        run_with_timeout(lambda: limit.left, lambda: go_on.wait() and 7, discard=late.put)
    go_on.set()
    assert late.get(timeout=30) == 7

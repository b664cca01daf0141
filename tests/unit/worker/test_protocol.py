"""The protocol between supervisor and runner: what is sent arrives, and what is no message ends the channel."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck_worker.protocol import (
    MAX_BODY_FROM_RUNNER,
    MAX_HEADER,
    Artifact,
    ChannelClosed,
    Raised,
    ReportProgress,
    StoredBlob,
    WriteLog,
    runner_end,
    supervisor_end,
)

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The two ends of a socket: the supervisor's, and the runner's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def arrived(ends: Ends, sent: bytes) -> Any:
    """What the supervisor receives when a runner sends these bytes, and ends."""
    ours, theirs = ends

    def send() -> None:
        theirs.sendall(sent)
        theirs.close()

    threading.Thread(target=send, daemon=True).start()
    return supervisor_end(ours).receive()


def frame(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("!II", len(header), len(body)) + header + body


@given(st.floats(0, 1), st.text(max_size=400), st.binary(max_size=2000))
def test_what_is_sent_arrives_and_its_texts_are_fit_to_be_shown(fraction: float, text: str, body: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        message = text.encode("utf-8", "replace").decode()
        runner_end(theirs).send(ReportProgress(fraction=fraction, message=message), body)
        received = supervisor_end(ours).receive()
    assert received is not None
    progress, same = received
    assert isinstance(progress, ReportProgress)
    assert (progress.fraction, same) == (fraction, body)
    shown = progress.message or ""
    assert len(shown) <= 200
    assert all(one.isprintable() or one in "\t\n" or ord(one) > 31 for one in shown)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"kind":"unknown"}',
        b'{"kind":"run"}',
        b'{"kind":"progress","fraction":2}',
        b'{"kind":"progress","fraction":NaN}',
        b'{"kind":"progress","fraction":0.5,"more":1}',
        b'{"kind":"progress","fraction":0.5,"message":"\\ud800"}',
        b'{"kind":"raised","error":"worker-lost","name":"X"}',
        b'{"kind":"raised","error":"retry-later","name":"X","seconds":-1}',
        b'{"kind":"raised","error":"retry-later","name":"X","seconds":1e9}',
        b'{"kind":"log","level":10,"logger":"a","message":"b","extra":{"a b":1}}',
        b'{"kind":"secret","number":1,"name":"' + b"x" * 300 + b'"}',
        b'{"kind":"returned","inline":true,"result":{"size":-1,"sha256":"","content_type":"a/b"}}',
        json.dumps(
            {"kind": "sign", "number": 1, "method": "GET", "url": "u", "headers": {str(n): "" for n in range(50)}}
        ).encode(),
        b"\xff" * 100,
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_of_a_runner_closes_the_channel(ends: Ends, header: bytes) -> None:
    with pytest.raises(ChannelClosed):
        arrived(ends, frame(header))


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00",
        struct.pack("!II", 5, 0),
        struct.pack("!II", MAX_HEADER + 1, 0),
        struct.pack("!II", 2, MAX_BODY_FROM_RUNNER + 1) + b"{}",
        struct.pack("!II", 0xFFFFFFFF, 0xFFFFFFFF),
        frame(b'{"kind":"progress","fraction":0.5}', b"body")[:-1],
    ],
)
def test_a_message_that_is_cut_or_too_large_closes_the_channel(ends: Ends, sent: bytes) -> None:
    with pytest.raises(ChannelClosed):
        arrived(ends, sent)


def test_an_end_between_two_messages_is_no_error(ends: Ends) -> None:
    assert arrived(ends, b"") is None


def test_a_runner_that_does_not_read_holds_nobody_up_for_long(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coatcheck_worker.protocol.SEND_TIMEOUT", 1)
    with pytest.raises(ChannelClosed):
        supervisor_end(ends[0]).send(Raised(error="error", name="X"), b"x" * 8 * 1024 * 1024)


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "x" * 101, "a\nb", "caf\xe9"])
def test_an_artifact_has_a_name_that_is_a_key(name: str) -> None:
    with pytest.raises(ValueError, match="artifact"):
        Artifact(size=1, sha256="0" * 64, content_type="a/b", filename=name)


def test_what_a_runner_says_of_bytes_is_made_fit_for_headers() -> None:
    stored = StoredBlob(size=1, sha256="0" * 64, content_type="text/html\r\nX: 1", filename="../../etc/passwd")
    assert (stored.content_type, stored.filename) == ("application/octet-stream", "_.._etc_passwd")


def test_a_line_of_a_handler_is_bounded() -> None:
    line = WriteLog(level=20, logger="a" * 1000, message="b" * 10**6, trace="c" * 10**6, extra={"d": "e" * 10**6})
    assert len(line.logger) + len(line.message) + len(line.trace or "") + len(str(line.extra["d"])) < 40_000

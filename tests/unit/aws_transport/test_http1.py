"""Answers as they arrive, in pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.aws_transport.aws_json import Reply
from coatcheck.aws_transport.http1 import MAX_HEADERS, AnswerReader, BadHttpAnswer, request_bytes

ANSWER = b"HTTP/1.1 400 Bad Request\r\nDate: now\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"


def read(reader: AnswerReader, *pieces: bytes) -> Reply | None:
    answer = None
    for piece in pieces:
        answer = reader.feed(piece)
    return answer


@given(cuts=st.lists(st.integers(0, len(ANSWER)), max_size=5), answer=st.sampled_from([ANSWER, CHUNKED]))
def test_an_answer_is_whole_with_its_last_byte(cuts: list[int], answer: bytes) -> None:
    bounds = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    pieces = [answer[first:last] for first, last in itertools.pairwise(bounds) if first < last]
    reader = AnswerReader()
    assert read(reader, *pieces[:-1]) is None
    assert reader.has_begun is (len(pieces) > 1)
    assert not reader.keeps_alive
    reply = reader.feed(pieces[-1])
    assert reply is not None
    assert reply.body == b"{}"
    assert reader.keeps_alive


def test_status_and_headers_are_read() -> None:
    assert read(AnswerReader(), ANSWER) == Reply(400, {"date": "now", "content-length": "2"}, b"{}")


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER.replace(b"Date: now", b"Connection: close"),
        ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ANSWER + ANSWER,
        ANSWER + b"HTTP/1.1 200 OK\r\n",
    ],
    ids=["said to be the last", "of an old server", "two", "more than one"],
)
def test_a_connection_that_said_more_or_ends_is_not_kept(answer: bytes) -> None:
    reader = AnswerReader()
    reply = reader.feed(answer)
    assert reply is not None
    assert (reply.status, reply.body) == (400, b"{}")
    assert not reader.keeps_alive


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(MAX_HEADERS + 1)) + b"\r\n",
    ],
    ids=["no HTTP", "two lengths", "another protocol", "one header often", "many headers"],
)
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    with pytest.raises(BadHttpAnswer):
        AnswerReader().feed(answer)


def test_a_request_is_one_piece() -> None:
    sent = request_bytes("/", {"host": "sqs.us-east-1.amazonaws.com"}, b"{}")
    assert sent == b"POST / HTTP/1.1\r\nhost: sqs.us-east-1.amazonaws.com\r\ncontent-length: 2\r\n\r\n{}"

"""HTTP/1.1 as bytes: a request to send, and an answer as it arrives. httptools parses; nothing is sent here."""

from __future__ import annotations

from collections.abc import Mapping

import httptools

from coatcheck.aws_transport.aws_json import Reply

MAX_BODY = 64 * 1024 * 1024
"""Bytes. The largest answers are pages of DynamoDB: 1 MB of items, some six times as much as JSON."""

MAX_HEADERS = 100


class BadHttpAnswer(Exception):
    """What arrived is no HTTP answer, or none of this size."""


def request_bytes(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A POST, whole."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


class AnswerReader:
    """Takes the bytes of one answer. A connection needs one for each."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._messages = self._lines = 0
        self._reply: Reply | None = None
        self._may_go_on = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def has_begun(self) -> bool:
        """Whether anything has arrived."""
        return self._messages > 0

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may carry another request. Only after a whole answer, with nothing behind it."""
        return self._messages == 1 and self._may_go_on

    def feed(self, data: bytes) -> Reply | None:
        """Take what arrived; the answer once it is whole. Raises BadHttpAnswer."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadHttpAnswer(type(error).__name__) from error
        return self._reply

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser. Raises BadHttpAnswer."""
        self._lines += 1
        if self._lines > MAX_HEADERS:
            raise BadHttpAnswer("TooManyHeaders")
        if self._messages == 1:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Called by the parser. Raises BadHttpAnswer."""
        self._size += len(data)
        if self._size > MAX_BODY:
            raise BadHttpAnswer("AnswerTooLarge")
        if self._messages == 1:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """Called by the parser, which knows only at this moment what the answer says of the connection."""
        if self._messages == 1:
            self._may_go_on = bool(self._parser.should_keep_alive())
            self._reply = Reply(self._parser.get_status_code(), self._headers, b"".join(self._parts))

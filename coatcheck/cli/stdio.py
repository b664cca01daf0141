"""The standard streams of the command: whatever they are, neither a text nor a reader causes a traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from coatcheck.client.exceptions import CoatcheckError

BROKEN_PIPE_EXIT_CODE = 141
"""The exit code when the reader, such as `head`, closes the pipe, as a shell reports it: 128 plus SIGPIPE."""


class StreamFailed(CoatcheckError):
    """Standard input cannot be read, or standard output not be written."""


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Let `sys.stdout` and `sys.stderr` accept any text within this context.

    Characters that their encoding lacks are replaced. If the reader of standard output is gone, the process ends with
    BROKEN_PIPE_EXIT_CODE; output that fails otherwise raises StreamFailed. Messages that cannot be written are lost
    silently.
    """
    _reopen_closed()
    original = sys.stdout, sys.stderr
    sys.stdout = _text_stream(_StdoutFile(1, "w", closefd=False), original[0], "replace")
    sys.stderr = _text_stream(_StderrFile(2, "w", closefd=False), original[1], "backslashreplace", line_buffering=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = original


def read_input(limit: int) -> bytes:
    """At most `limit` bytes of standard input. Raises StreamFailed."""
    try:
        with open(0, "rb", closefd=False) as stdin:
            return stdin.read(limit)
    except OSError as error:
        raise StreamFailed(f"standard input: {error.strerror}") from error


class _StdoutFile(io.FileIO):
    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            self._silence()
            sys.exit(BROKEN_PIPE_EXIT_CODE)
        except OSError as error:
            self._silence()
            raise StreamFailed(f"standard output: {error.strerror}") from error

    def _silence(self) -> None:
        # what is buffered is written once more at the end, and would fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


class _StderrFile(io.FileIO):
    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _text_stream(raw: io.FileIO, like: TextIO | None, errors: str, *, line_buffering: bool = False) -> TextIO:
    buffered = io.BufferedWriter(raw)
    encoding = getattr(like, "encoding", None) or "utf-8"
    # PYTHONUNBUFFERED asks for each line immediately
    at_once = line_buffering or raw.isatty() or getattr(like, "write_through", False)
    return io.TextIOWrapper(buffered, encoding, errors, line_buffering=at_once)


def _reopen_closed() -> None:
    """Open what was closed, so that no connection or file takes its number and is written to instead.

    Standard input and output in the direction in which using them fails, as gnulib's stdopen does
    (https://www.gnu.org/software/gnulib/manual/html_node/stdopen.html); messages go nowhere.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)

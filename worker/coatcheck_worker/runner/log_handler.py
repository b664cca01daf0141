"""Send the log lines of a runner to its supervisor, which writes them with the job they belong to."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from coatcheck.core.log import QUIET_LIBRARIES, extra_of
from coatcheck.core.sanitize import plain_text
from coatcheck_worker.protocol import MAX_LOG_TEXT, Channel, ToRunner, WriteLog

MAX_EXTRAS = 32


class ChannelLogHandler(logging.Handler):
    """Sends each line. What cannot be sent is lost: a handler's line may hold anything."""

    def __init__(self, channel: Channel[ToRunner]) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line."""
        with contextlib.suppress(Exception):
            self._channel.send(_line_of(record))


def log_to(channel: Channel[ToRunner]) -> None:
    """Let every logger of this process send its lines from INFO on through `channel`."""
    logging.basicConfig(level=logging.INFO, handlers=[ChannelLogHandler(channel)], force=True)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def _line_of(record: logging.LogRecord) -> WriteLog:
    trace = logging.Formatter().formatException(record.exc_info) if record.exc_info and record.exc_info[1] else None
    extra = {str(name): _plain(value) for name, value in list(extra_of(record).items())[:MAX_EXTRAS]}
    return WriteLog(
        level=min(max(record.levelno, 0), logging.CRITICAL),
        logger=plain_text(record.name, longest=100),
        message=plain_text(record.getMessage(), longest=MAX_LOG_TEXT),
        # the end of a trace says what was raised
        trace=None if trace is None else plain_text(trace[-MAX_LOG_TEXT:], longest=MAX_LOG_TEXT),
        extra=extra,
    )


def _plain(value: Any) -> str | int | float | bool | None:
    return value if type(value) in {int, float, bool, type(None)} else plain_text(value, longest=1000)

"""Write the log lines of handlers, as lines of the job that they belong to."""

from __future__ import annotations

import logging

from coatcheck.core.log import context_members
from coatcheck_worker.protocol import WriteLog

PREFIX = "job"
"""Begins the names of the loggers of handlers: none of their lines is taken for one of the worker's own."""

RESERVED = frozenset({"message", "asctime", "timestamp", "level", "logger", "trace"})
"""Members of a line that its format sets."""


def write_line(line: WriteLog) -> None:
    """Write a line within the log context of its attempt, whose members it cannot replace."""
    name = line.logger if line.logger.partition(".")[0] == PREFIX else f"{PREFIX}.{line.logger}"
    _write(logging.getLogger(PREFIX), line.model_copy(update={"logger": name}))


def write_failure(logger: logging.Logger, message: str, trace: str | None) -> None:
    """Write a warning with the trace of an exception that was raised in a runner."""
    _write(logger, WriteLog(level=logging.WARNING, logger=logger.name, message=message, trace=trace))


def _write(logger: logging.Logger, line: WriteLog) -> None:
    if not logger.isEnabledFor(line.level):
        return
    record = logger.makeRecord(line.logger, line.level, "", 0, "%s", (line.message,), None)
    taken = {*vars(record), *context_members(), *RESERVED}
    vars(record).update({key: value for key, value in line.extra.items() if key not in taken})
    record.exc_text = line.trace
    logger.handle(record)

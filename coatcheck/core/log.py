"""How log lines look. They go to stderr, one each: as text for people, as JSON objects for machines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from coatcheck.core.clock import SECOND, rfc3339

QUIET_LIBRARIES = ("aiobotocore", "asyncio", "boto3", "botocore", "mangum", "s3transfer", "urllib3")
"""Libraries that tell of every step they take: only their warnings are of use."""

LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""Python's names of levels that machines call otherwise."""

_CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, and what the line is about and was passed as `extra` as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {name}={value}" for name, value in _members(record).items())
        line = f"{rfc3339(_at(record))} {record.levelname} {record.name}: {record.getMessage()}{extras}"
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object, with what the line is about and was passed as `extra` as members of its own.

    Lambda takes a line for INFO that has no `timestamp` in RFC 3339 or no `level` that it knows:
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            **_members(record),
            "timestamp": rfc3339(_at(record)),
            "level": LEVELS.get(record.levelname, record.levelname),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace := _trace(self, record):
            entry["trace"] = trace
        return json.dumps(entry, default=str)


_FORMATTERS: Mapping[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def configure(style: str) -> None:
    """Let every logger of this process write lines of `style` (`text` or `json`) from INFO on. Call it at the edge."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[style]())
    # in place of Lambda's own handler, which would write each line once more
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def log_context(**members: object) -> Iterator[None]:
    """The lines that are written within this tell what they are about: `members`, of which None is left out.

    A thread that is started within this tells it if it runs in a copy of the context (`contextvars.copy_context`).
    """
    token = _CONTEXT.set({**_CONTEXT.get(), **members})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a call of a logger passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _members(record: logging.LogRecord) -> dict[str, Any]:
    members = {**_CONTEXT.get(), **extra_of(record)}
    return {name: value for name, value in members.items() if value is not None}


def _at(record: logging.LogRecord) -> int:
    return round(record.created * SECOND)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""

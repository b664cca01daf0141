"""The format of log lines. They go to stderr, one line each: as text for people, as JSON objects for machines."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import filterfalse
from types import MappingProxyType
from typing import Any

from coatcheck.core.clock import SECOND, rfc3339

QUIET_LIBRARIES = ("aiobotocore", "asyncio", "boto3", "botocore", "mangum", "s3transfer", "urllib3")
"""Libraries that log every step they take: only their warnings are useful."""

LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""Python's level names that machines name differently."""

_CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))

_LINE_END = re.compile(r"\r?\n")

# `json.dumps` would make an encoder for each line
_TO_JSON = json.JSONEncoder(default=str, separators=(",", ":")).encode

_PLAIN = re.compile(r"[\w.:/@+-]+")

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, then the members of the log context and of `extra` as name=value.

    One line, which no text in it can end: control characters are escaped. A name or a value that could be taken for
    several members is a JSON string. The lines of a trace follow it, indented, so that none of them can be taken for
    another line of the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {_one_word(name)}={_one_word(value)}" for name, value in _members(record).items())
        line = f"{rfc3339(_at(record))} {record.levelname} {record.name}: {record.getMessage()}{extras}"
        trace = _LINE_END.split(_trace(self, record))
        return "\n".join([_escaped(line), *(f"  {_escaped(one)}" for one in trace if one)])


class JsonFormatter(logging.Formatter):
    """One JSON object; the log context and `extra` become members of their own.

    Lambda treats a line as INFO if it has no `timestamp` in RFC 3339 or no `level` that Lambda knows:
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
        return _TO_JSON(entry)


_FORMATTERS: Mapping[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def configure(style: str) -> None:
    """Let every logger of this process write lines of `style` (`text` or `json`) from INFO on. Call it at the edge."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[style]())
    # replaces Lambda's own handler, which would write each line a second time
    # no line shows these, nor where it was written: https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - as documented there
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def log_context(**members: object) -> Iterator[None]:
    """Add `members` to the log lines written within this context; members that are None are left out.

    A thread started within it adds them too if it runs in a copy of the context (`contextvars.copy_context`).
    """
    token = _CONTEXT.set({**_CONTEXT.get(), **members})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def add_to_log_context(**members: object) -> None:
    """Add `members` to the log lines written until the log context ends that this code runs in."""
    _CONTEXT.set({**_CONTEXT.get(), **members})


def context_members() -> Mapping[str, Any]:
    """The members of the log context that this code runs in."""
    return _CONTEXT.get()


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a call of a logger passed as `extra`."""
    members = vars(record)
    return {name: members[name] for name in filterfalse(_STANDARD.__contains__, members)}


def _members(record: logging.LogRecord) -> dict[str, Any]:
    members = {**_CONTEXT.get(), **extra_of(record)}
    return {name: value for name, value in members.items() if value is not None}


def _at(record: logging.LogRecord) -> int:
    return round(record.created * SECOND)


def _one_word(given: object) -> str:
    text = str(given)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    """Return `text` with what is not printable as Python writes it in a string: a newline becomes `\\n`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The trace of an exception, also of one that was raised in another process and arrived as text."""
    return formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or ""

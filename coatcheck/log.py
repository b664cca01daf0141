"""How log lines look. They go to stderr, one each: as text for people, as JSON objects for machines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

from coatcheck.clock import SECOND, rfc3339

QUIET = ("aiobotocore", "asyncio", "boto3", "botocore", "mangum", "s3transfer", "urllib3")
"""Libraries that tell of every step they take: only their warnings are of use."""

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, and what was passed as `extra` as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {name}={value}" for name, value in extra_of(record).items() if value is not None)
        line = f"{rfc3339(_at(record))} {record.levelname} {record.name}: {record.getMessage()}{extras}"
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object, with what was passed as `extra` as members of its own."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": rfc3339(_at(record)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in extra_of(record).items() if value is not None},
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
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a call of a logger passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _at(record: logging.LogRecord) -> int:
    return round(record.created * SECOND)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""

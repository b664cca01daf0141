"""What this process logs, as the lines that a deployment writes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from coatcheck.core import audit
from coatcheck.core.log import JsonFormatter


@dataclass(frozen=True)
class LogLines:
    """The lines that were written."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    def text(self) -> str:
        """All of them, as they are."""
        return self.stream.getvalue()

    def entries(self) -> list[dict[str, Any]]:
        """All of them, read."""
        return [json.loads(line) for line in self.text().splitlines()]

    def audit(self, **members: Any) -> list[dict[str, Any]]:
        """Those of the audit log that have these members."""
        return [
            entry for entry in self.entries() if entry["logger"] == audit.LOGGER and members.items() <= entry.items()
        ]


@contextmanager
def log_lines() -> Iterator[LogLines]:
    """Collect the lines from INFO on of all loggers of this process."""
    lines = LogLines()
    handler = logging.StreamHandler(lines.stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)

"""A line of JSON as people read it."""

from __future__ import annotations

import json
from typing import Any

_SHOWN = ("timestamp", "level", "logger", "message", "trace")
_KNOWN = frozenset({*_SHOWN, "job", "tenant"})
"""Members that have a place of their own, or that all lines of a job have in common."""


def readable(line: str) -> str:
    """Return a line of the log as the text format has it. What is no such line is returned as it is."""
    try:
        entry: Any = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or not {"timestamp", "level", "message"} <= entry.keys():
        return line
    more = "".join(f" {name}={value}" for name, value in entry.items() if name not in _KNOWN)
    first = f"{entry['timestamp']} {entry['level']} {entry.get('logger', '')}: {entry['message']}{more}"
    return "\n".join([first, *(f"  {one}" for one in str(entry.get("trace", "")).splitlines() if one)])

"""A job as a client sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredFile:
    """How the job describes its result or one artifact: a download must match it."""

    size: int
    content_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server described it.

    `view` is its JobView as received, including new fields; the properties are what this client uses.
    `retry_after` is the server's advice, in seconds, when to poll again. `replayed`: the idempotency key had
    been used before, and this is the job that it created then.
    """

    view: Mapping[str, Any]
    retry_after: float | None = None
    replayed: bool = False

    @property
    def id(self) -> str:
        return str(self.view["id"])

    @property
    def status(self) -> str:
        return str(self.view["status"])

    @property
    def done(self) -> bool:
        """Whether the status is final."""
        return bool(self.view["done"])

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The problem that ended the job, or None."""
        return self.view.get("error")

    @property
    def progress(self) -> Mapping[str, Any]:
        """`fraction` (0 to 1) and `message`; empty when the job has reported nothing."""
        return self.view.get("progress") or {}

    def stored(self, name: str | None = None) -> StoredFile | None:
        """The result, or the artifact called `name`; None when there is none (yet)."""
        kept = [self.view.get("result")] if name is None else self.view.get("artifacts") or []
        for entry in kept:
            if entry and (name is None or entry.get("name") == name):
                return StoredFile(entry["size"], entry["content_type"], entry["sha256"])
        return None

"""What a confined function is handed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ConfinedContext:
    """Handed to a confined function with its argument.

    `files` are those it may read. What it leaves in `output` comes back to the handler; `scratch` is its working
    folder, and is removed. It can write nowhere else.
    """

    files: Mapping[str, Path]
    output: Path
    scratch: Path
    report: Callable[[float, str | None], None]

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Report progress, as `Context.progress` does. A stop of the job ends the process; nothing is raised here."""
        self.report(fraction, message)

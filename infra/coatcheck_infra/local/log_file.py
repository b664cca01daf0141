"""The file in which `up` keeps what its processes log, for `coatcheck logs`. It does not grow beyond a bound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_FILE = "up.log"
MAX_BYTES = 10 * 1024 * 1024
"""Of the file, and of the one before it, which is `up.log.1`."""


class _LossyHandler(RotatingFileHandler):
    """Loses a line that cannot be written, as on a full disk, and says nothing: `up` shows it all the same."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name for it
        """Do nothing."""


@contextmanager
def open_log(folder: Path) -> Iterator[Callable[[str], None]]:
    """Yield what appends a line to the log in a folder."""
    handler = _LossyHandler(
        folder / LOG_FILE, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
    )

    def append(line: str) -> None:
        handler.emit(logging.makeLogRecord({"msg": line}))

    with closing(handler):
        yield append


def kept_lines(folder: Path) -> Iterator[str]:
    """Yield the lines that are kept in a folder, the oldest first."""
    for name in (f"{LOG_FILE}.1", LOG_FILE):
        if (path := folder / name).is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    yield line.rstrip("\n")

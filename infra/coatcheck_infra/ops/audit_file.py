"""Where the commands of an owner write the lines of the audit log: they act on AWS directly, so no service does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coatcheck.core.audit import LOGGER
from coatcheck.core.log import JsonFormatter
from coatcheck.core.settings import BadSettings

VARIABLE = "COATCHECK_AUDIT_FILE"


@contextmanager
def audit_file(path: Path | None) -> Iterator[None]:
    """Append the audit lines of what is done within this context to the file at `path`. Raises BadSettings."""
    if path is None:
        yield
        return
    logger = logging.getLogger(LOGGER)
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise BadSettings(f"{VARIABLE}: {path} cannot be written: {error.strerror}") from None
    handler.setFormatter(JsonFormatter())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()

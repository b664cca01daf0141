"""The user's folder of installed tools, which all projects share. Each tool has a folder for each state of its lock."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PARTIAL_PREFIX = ".installing-"
ABANDONED_SECONDS = 3600.0
"""An installation that began so long ago was killed: it is removed."""


class ToolError(Exception):
    """A tool cannot be installed. The message is one line with the cause."""


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder: $COATCHECK_CACHE, else $XDG_CACHE_HOME/coatcheck, else ~/.cache/coatcheck."""
    if own := environ.get("COATCHECK_CACHE"):
        return Path(own).absolute()
    # a relative XDG_CACHE_HOME is to be ignored, says its specification
    base = Path(environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "coatcheck"


def install_once(folder: Path, install: Callable[[Path], None]) -> None:
    """Call `install` with a new folder beside `folder`, and rename that to `folder` when it is complete.

    Several processes may do this at once: one of them wins, and the work of the others is dropped. Raises OSError, and
    what `install` raises; nothing is left then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=folder.parent, ignore_cleanup_errors=True) as partial:
        complete = Path(partial, folder.name)
        install(complete)
        try:
            complete.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _remove_abandoned(parent: Path) -> None:
    for partial in parent.glob(f"{PARTIAL_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if partial.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)

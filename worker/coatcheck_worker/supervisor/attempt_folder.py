"""The folder of an attempt, in the folder for temporary files of its runner."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


class AttemptFolder:
    """Makes an empty folder in `scratch` for one attempt after another.

    A folder that an attempt did not use is kept for the next: to make and remove one takes milliseconds on some disks.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._kept: Path | None = None
        self._as_made: tuple[int, ...] = ()

    def path(self) -> Path:
        """The folder, which is empty. Raises OSError."""
        # what cleans up old temporary files may have removed it
        if self._kept is None or not self._is_as_made(self._kept):
            made = Path(tempfile.mkdtemp(prefix="job-", dir=self._scratch))
            self._as_made = _state(made)
            self._kept = made
        return self._kept

    def clear(self) -> None:
        """Remove all that an attempt left in `scratch`, also its folder if it was used. Raises OSError."""
        kept, self._kept = self._kept, None
        with os.scandir(self._scratch) as entries:
            for left in list(entries):
                if kept is not None and left.name == kept.name and self._is_as_made(kept):
                    self._kept = kept
                elif left.is_dir(follow_symlinks=False):
                    shutil.rmtree(left.path, ignore_errors=True)
                else:
                    Path(left.path).unlink(missing_ok=True)

    def _is_as_made(self, folder: Path) -> bool:
        # a handler may have put anything in its place
        try:
            if _state(folder) != self._as_made:
                return False
            with os.scandir(folder) as entries:
                return next(entries, None) is None
        except FileNotFoundError:
            return False


def _state(folder: Path) -> tuple[int, ...]:
    """What changes when the folder is replaced, when its rights change, and when files come and go in it.

    Times of Linux are those of its last tick, some milliseconds ago: a file may be there all the same.
    """
    found = folder.stat(follow_symlinks=False)
    return found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_ctime_ns

"""The folders a confined process writes to, looked at as what they are: written by somebody hostile."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from coatcheck.confined.errors import BadAnswer

MAX_OUTPUT_FILES = 1000
SECTOR = 512


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one confined process works (`scratch`), and leaves files (`output`)."""

    root: Path
    output: Path
    scratch: Path

    @classmethod
    def make(cls, workdir: Path) -> Folders:
        """Make them below `workdir`, through which root lets other users pass."""
        if os.geteuid() == 0:
            workdir.chmod(stat.S_IMODE(workdir.stat().st_mode) | stat.S_IXOTH)
        root = Path(mkdtemp(prefix="confined-", dir=workdir.resolve()))
        folders = cls(root, root / "output", root / "scratch")
        folders.output.mkdir()
        folders.scratch.mkdir()
        return folders

    def used(self) -> int:
        """Return how many bytes of disk the files in them take. Those that are being removed are left out."""
        return sum(_used(folder) for folder in (self.output, self.scratch))

    def collect(self) -> Mapping[str, Path]:
        """Return the files in `output` by name, once the process has ended.

        Raises BadAnswer for what is no plain file, or has another name elsewhere: opening it would open what somebody
        hostile chose.
        """
        found: dict[str, Path] = {}
        if not stat.S_ISDIR(self.output.lstat().st_mode):
            raise BadAnswer("the function replaced its output folder")
        with os.scandir(self.output) as entries:
            for entry in entries:
                seen = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
                    raise BadAnswer(f"the function left {entry.name!r} in its output, which is no plain file")
                if len(found) == MAX_OUTPUT_FILES:
                    raise BadAnswer(f"the function left more than {MAX_OUTPUT_FILES} files in its output")
                found[entry.name] = Path(entry.path)
        return dict(sorted(found.items()))

    def remove(self) -> None:
        """Remove them with all that is in them."""
        shutil.rmtree(self.root, ignore_errors=True)

    def remove_scratch(self) -> None:
        """Remove what was not meant to be kept."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def _used(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * SECTOR  # noqa: PTH118 - many, and often
            except FileNotFoundError:
                continue
    return total

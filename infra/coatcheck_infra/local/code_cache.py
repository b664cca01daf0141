"""Keeps the unpacked code of the Lambda functions between starts: unpacking takes seconds."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

CODE_CACHE_VARIABLE = "COATCHECK_UNPACKED"
"""The environment variable with the directory in which `unpack` has put the code, for the emulator."""


def unpack(archives: Iterable[Path], into: Path) -> None:
    """Unpack each archive to a directory below `into` named by its SHA-256. Remove the directories of older code."""
    wanted = {digest(archive): archive for archive in archives}
    into.mkdir(exist_ok=True)
    for left in into.iterdir():
        if left.name not in wanted:
            shutil.rmtree(left)
    for name, archive in wanted.items():
        if not (into / name).exists():
            # under a temporary name until it is complete: this process may be killed meanwhile
            partial = into / f"{name}.part"
            with ZipFile(archive) as opened:
                opened.extractall(partial)
            partial.rename(into / name)


def digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The code of the Lambda functions, unpacked once and kept between starts: unpacking it costs seconds."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

CODE_CACHE_VARIABLE = "COATCHECK_UNPACKED"
"""The environment variable that tells the emulator where `unpack` has put the code."""


def unpack(archives: Iterable[Path], into: Path) -> None:
    """Unpack each archive to the directory below `into` that its SHA-256 names; remove what older code left there."""
    wanted = {digest(archive): archive for archive in archives}
    into.mkdir(exist_ok=True)
    for left in into.iterdir():
        if left.name not in wanted:
            shutil.rmtree(left)
    for name, archive in wanted.items():
        if not (into / name).exists():
            # in a name of its own until it is whole: this process may be killed meanwhile
            partial = into / f"{name}.part"
            with ZipFile(archive) as opened:
                opened.extractall(partial)
            partial.rename(into / name)


def digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

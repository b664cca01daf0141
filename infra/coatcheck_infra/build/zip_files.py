"""Zip files that are a function of their contents, and remember what they were made from."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

# the first moment that a zip can tell
EPOCH = (1980, 1, 1, 0, 0, 0)


def digest(text: str, files: Iterable[Path], root: Path) -> str:
    """SHA-256, in hex, of a text and of the names (below `root`) and bytes of files."""
    hasher = hashlib.sha256(text.encode())
    for file in files:
        hasher.update(f"\0{file.relative_to(root)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return hasher.hexdigest()


def source_digest(path: Path) -> str | None:
    """The digest that the zip at `path` was made from; None where there is no whole zip."""
    try:
        with ZipFile(path) as archive:
            return archive.comment.decode()
    except (FileNotFoundError, BadZipFile):
        return None


def write(path: Path, directory: Path, source_digest: str, *, on: Path | None = None) -> None:
    """Zip what is below `directory` to `path`, after all that the zip `on` holds.

    The same files make the same bytes: they are sorted, and carry neither times nor this machine's modes.
    `path` appears whole or not at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as making:
        new = Path(making, path.name)
        if on:
            shutil.copyfile(on, new)
        with ZipFile(new, "a") as archive:
            for file in sorted(file for file in directory.rglob("*") if file.is_file()):
                info = ZipInfo(file.relative_to(directory).as_posix(), EPOCH)
                info.external_attr = 0o644 << 16
                archive.writestr(info, file.read_bytes(), ZIP_DEFLATED)
            archive.comment = source_digest.encode()
        new.replace(path)

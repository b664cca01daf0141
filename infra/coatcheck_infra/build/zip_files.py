"""Reproducible zip files that record the digest of their inputs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

# the earliest time that a zip can store
EPOCH = (1980, 1, 1, 0, 0, 0)


def digest(text: str, files: Iterable[Path], root: Path) -> str:
    """Return the SHA-256, in hex, of a text and of the names (below `root`) and bytes of files."""
    hasher = hashlib.sha256(text.encode())
    for file in files:
        hasher.update(f"\0{file.relative_to(root)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return hasher.hexdigest()


def source_digest(path: Path) -> str | None:
    """Return the digest of the inputs of the zip at `path`; None if there is no complete zip."""
    try:
        with ZipFile(path) as archive:
            return archive.comment.decode()
    except (FileNotFoundError, BadZipFile):
        return None


def write(path: Path, directory: Path, source_digest: str, *, on: Path | None = None) -> None:
    """Zip the files below `directory` to `path`, after the contents of the zip `on`.

    The same files give the same bytes: they are sorted, and have neither times nor this machine's file modes.
    The write is atomic: `path` appears whole or not at all.
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

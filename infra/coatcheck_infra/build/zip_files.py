"""Reproducible zip files that record the digest of their inputs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

# the earliest time that a zip can store
EPOCH = (1980, 1, 1, 0, 0, 0)

NOT_CODE = frozenset({"__pycache__", "tests"})
"""Folders that are left out, as are hidden files and folders."""


@dataclass(frozen=True)
class SourceFile:
    """A file: its path in a zip, and the file that is copied to there."""

    path: PurePosixPath
    source: Path


def code_files(folder: Path, path: PurePosixPath) -> list[SourceFile]:
    """Return the files of `folder`, which become those of `path`, sorted; without `NOT_CODE` and what is hidden."""
    found = [SourceFile(path / file.relative_to(folder).as_posix(), file) for file in folder.rglob("*")]
    return sorted((one for one in found if one.source.is_file() and _is_code(one.path)), key=lambda one: one.path)


def _is_code(path: PurePosixPath) -> bool:
    return not any(part.startswith(".") or part in NOT_CODE for part in path.parts) and path.suffix != ".pyc"


def digest(text: str, files: Iterable[SourceFile]) -> str:
    """Return the SHA-256, in hex, of a text and of the paths and bytes of files."""
    hasher = hashlib.sha256(text.encode())
    for file in files:
        hasher.update(f"\0{file.path}\0{hashlib.sha256(file.source.read_bytes()).hexdigest()}".encode())
    return hasher.hexdigest()


def copy(files: Iterable[SourceFile], directory: Path) -> None:
    """Copy the files to their paths below `directory`."""
    for file in files:
        target = directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)


def source_digest(path: Path) -> str | None:
    """Return the digest of the inputs of the zip at `path`; None if there is no complete zip."""
    try:
        with ZipFile(path) as archive:
            return archive.comment.decode()
    except (FileNotFoundError, BadZipFile):
        return None


def write(path: Path, directory: Path, source_digest: str, *, on: Path | None = None) -> None:
    """Zip the files below `directory` to `path`, after the contents of the zip `on`.

    The same files give the same bytes: they are sorted, and have neither times nor this machine's file modes. Shell
    scripts can be run.
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
                info.external_attr = (0o755 if file.suffix == ".sh" else 0o644) << 16
                archive.writestr(info, file.read_bytes(), ZIP_DEFLATED)
            archive.comment = source_digest.encode()
        new.replace(path)

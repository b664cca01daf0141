"""Compiles the .pyc files of a zip with the Python version that will run it.

A cold start that has to compile its imports takes almost three times as long, and Lambda cannot keep what it
compiled. If the target's Python is neither installed nor installable, the same Python compiled to WebAssembly
compiles the files under Node (docs/adr/0022).
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
from pathlib import Path

from coatcheck_infra.build.programs import BuildError, CommandError, run, uv
from coatcheck_infra.toolchain.cache import cache_folder, install_once

WASM = Path(__file__).resolve().parent / "wasm"
"""What compiles under Node, and a folder for each Python that can be had so, with the lock of its npm package."""


def compile_all(directory: Path, python: str, *, strict: bool = True) -> None:
    """Compile every .py below `directory` for Python `python` ("3.13"), with reproducible output.

    The .pyc files are trusted without a check of the source's time or hash: nobody edits a file in a zip. Raises
    BuildError if no such Python is available, and if a file does not compile: unless it is not `strict`, since
    packages of other makers have templates, and files for other versions of Python.
    """
    try:
        _compile_all(directory, python)
    except CommandError:
        if strict:
            raise


def _compile_all(directory: Path, python: str) -> None:
    native = interpreter(python)
    if native:
        command = [native, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        # the members of a frozen set are written in the order of their hashes, so the hash seed is fixed
        run([*command, "-s", str(directory), str(directory)], env={"PYTHONHASHSEED": "0"})
    elif (WASM / f"python{python}").is_dir():
        run(["node", str(WASM / "compile.mjs"), str(_node_modules(python)), str(directory)])
    else:
        raise BuildError(f"needs Python {python} to compile for it: install that")


@functools.cache
def interpreter(python: str) -> str | None:
    """Return the path of a Python `python` on this machine, installed by uv if needed; None if that fails."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return _found(python) or _installed(python)


def _found(python: str) -> str | None:
    try:
        return uv("python", "find", "--no-project", "--no-python-downloads", python).strip()
    except BuildError:
        return None


def _installed(python: str) -> str | None:
    try:
        # WebAssembly is the fallback: do not wait long for a network that is down
        uv("python", "install", "--quiet", "--no-bin", python, UV_HTTP_RETRIES="0")
    except BuildError:
        return None
    return _found(python)


def _node_modules(python: str) -> Path:
    source = WASM / f"python{python}"
    lock = source / "package-lock.json"
    folder = cache_folder(os.environ) / "wasm" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not folder.exists():
        install_once(folder, functools.partial(_install_node_modules, source))
    return folder / "node_modules"


def _install_node_modules(source: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    try:
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    except BuildError as error:
        raise BuildError(f"uv has no {source.name}, nor has npm: {error}") from error

"""The .pyc files of a zip, compiled by the Python that will run it.

A cold start that has to compile its imports takes almost three times as long, and Lambda cannot keep what it
compiled. Where the target's Python is neither installed nor to be had, the same Python compiled to
WebAssembly does it under Node (docs/adr/0022).
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from coatcheck_infra.build.toolchain import TOOLS_DIR, BuildError, run, uv

WASM = Path(__file__).resolve().parent / "wasm"
WASM_PYTHON = "3.13"


def compile_all(directory: Path, python: str) -> None:
    """Compile every .py below `directory` for Python `python` ("3.13"), by one compiler to the same bytes.

    The .pyc are trusted without a look at the source's time or hash: nobody edits a file in a zip. Raises
    BuildError where a file does not compile, or no such Python can be had.
    """
    native = interpreter(python)
    if native:
        command = [native, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        # the members of a frozen set are written in the order of their hashes
        run([*command, "-s", str(directory), str(directory)], env={"PYTHONHASHSEED": "0"})
    elif python == WASM_PYTHON:
        run(["node", str(WASM / "compile.mjs"), str(_node_modules()), str(directory)])
    else:
        raise BuildError(f"needs Python {python} to compile for it; install that, or run on {WASM_PYTHON}")


@functools.cache
def interpreter(python: str) -> str | None:
    """A Python `python` of this machine, installed by uv where there was none; None where it cannot be."""
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
        # there is another way: better not to wait for a network that does not reach
        uv("python", "install", "--quiet", "--no-bin", python, UV_HTTP_RETRIES="0")
    except BuildError:
        return None
    return _found(python)


def _node_modules() -> Path:
    lock = WASM / "package-lock.json"
    home = TOOLS_DIR / "wasm" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as fresh:
            shutil.copy(WASM / "package.json", fresh)
            shutil.copy(lock, fresh)
            try:
                run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=Path(fresh))
            except BuildError as error:
                raise BuildError(f"uv has no Python {WASM_PYTHON}, nor has npm: {error}") from error
            Path(fresh, "node_modules").rename(home)
    return home

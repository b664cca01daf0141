"""Tools that have a Python environment of their own, because they pin what we do not.

Each is installed on first use into the user's cache, from the hashes of its lock in `locks/`.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coatcheck_infra.toolchain.cache import ToolError, cache_folder, install_once

LOCKS = Path(__file__).with_name("locks")

_CAUSE = re.compile(r"^\s*(?:error|cause|caused by): *(?P<text>\S.*)$", re.IGNORECASE)


@dataclass(frozen=True)
class ToolEnvironment:
    """The tool `name`; `title` names it in messages, as in "installing {title}". `lock` is its requirements file."""

    name: str
    title: str
    lock: Path

    def folder(self, environ: Mapping[str, str]) -> Path:
        """Return where it is, or will be, installed for this Python: a tool runs under the Python that runs us."""
        python = f"{sys.implementation.cache_tag} {platform.machine()}"
        digest = hashlib.sha256(python.encode() + b"\0" + self.lock.read_bytes()).hexdigest()
        return cache_folder(environ) / self.name / digest[:16]

    def python(self, environ: Mapping[str, str]) -> Path:
        """Return its interpreter. The programs of its packages are in the same folder."""
        return self.folder(environ) / "bin" / "python"

    def progress_line(self, environ: Mapping[str, str]) -> str:
        """Return the line to show while it is installed."""
        return f"installing {self.title} into {self.folder(environ)}, once …"


MINISTACK = ToolEnvironment("ministack", "the AWS emulator", LOCKS / "ministack.txt")
SAM = ToolEnvironment("sam", "the SAM CLI", LOCKS / "sam.txt")
TOOLS = {tool.name: tool for tool in (MINISTACK, SAM)}


def ensure_installed(tool: ToolEnvironment, environ: Mapping[str, str], progress: Callable[[str], None]) -> Path:
    """Return the interpreter of `tool`. Installs the tool if it is not there; `progress` then gets one line.

    Raises `ToolError`.
    """
    python = tool.python(environ)
    if python.exists():
        return python
    folder = tool.folder(environ)
    progress(tool.progress_line(environ))
    try:
        if folder.exists():
            # its interpreter was a link to a Python that is no longer there
            shutil.rmtree(folder, ignore_errors=True)
        install_once(folder, lambda into: _install(tool, into, environ))
    except OSError as error:
        raise ToolError(f"cannot install {tool.title} into {folder}: {error.strerror}") from error
    return python


def _install(tool: ToolEnvironment, into: Path, environ: Mapping[str, str]) -> None:
    # relocatable: the folder is renamed when it is complete
    _uv(tool, environ, "venv", "--relocatable", "--python", sys.executable, str(into))
    sync = ("pip", "sync", "--require-hashes", "--compile-bytecode", "--python", str(into / "bin" / "python"))
    _uv(tool, environ, *sync, str(tool.lock))


def _uv(tool: ToolEnvironment, environ: Mapping[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"cannot install {tool.title}: {failure_of(done.stderr)}")


def failure_of(messages: str) -> str:
    """Return uv's error messages as one line: what failed, and the cause at the bottom of it."""
    lines = messages.strip().splitlines() or ["uv said nothing"]
    causes = [found["text"] for line in lines if (found := _CAUSE.match(line))] or lines[:1]
    # the first line says only that something failed, if others say what
    return ": ".join(dict.fromkeys([causes[:2][-1], causes[-1]]))

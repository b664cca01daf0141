"""Programs that look for ways in. Each has an environment of its own: nothing of ours is held back by its pins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from coatcheck_infra.toolchain.environments import ToolEnvironment, ensure_installed
from tests.repository import ROOT

LOCKS = ROOT / "requirements" / "tools"


def _tool(name: str) -> ToolEnvironment:
    return ToolEnvironment(name, name, LOCKS / f"{name}.txt")


BANDIT_TOOL, CHECKOV_TOOL = _tool("bandit"), _tool("checkov")
PIP_AUDIT_TOOL, SCHEMATHESIS = _tool("pip-audit"), _tool("schemathesis")
TOOLS = {tool.name: tool for tool in (BANDIT_TOOL, CHECKOV_TOOL, PIP_AUDIT_TOOL, SCHEMATHESIS)}


def run_tool(tool: ToolEnvironment, *arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program of the same name as its environment, which is installed first if it is not there.

    Raises ToolError.
    """
    python = ensure_installed(tool, os.environ, lambda line: print(line, file=sys.stderr, flush=True))
    command: Sequence[str | Path] = [python.parent / tool.name, *arguments]
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

"""Installs a tool if it is not there, and prints its interpreter: `python -m coatcheck_infra.toolchain ministack`."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from coatcheck_infra.toolchain.cache import ToolError
from coatcheck_infra.toolchain.environments import TOOLS, ensure_installed


def main() -> str | None:
    """Return one line on what went wrong, or None. The progress goes to stderr."""
    arguments = argparse.ArgumentParser(prog="python -m coatcheck_infra.toolchain", description=__doc__)
    arguments.add_argument("tool", choices=TOOLS)
    tool = TOOLS[arguments.parse_args().tool]
    # so that the partial installation is removed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        python = ensure_installed(tool, os.environ, lambda line: print(line, file=sys.stderr, flush=True))
    except ToolError as error:
        return str(error)
    print(python)
    return None


if __name__ == "__main__":
    sys.exit(main())

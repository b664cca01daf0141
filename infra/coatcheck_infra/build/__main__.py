"""Builds the project in a folder: `python -m coatcheck_infra.build [FOLDER] [--target local]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coatcheck_infra.build.project_build import build, make_lock
from coatcheck_infra.build.zip_specs import LAMBDA, LOCAL


def main() -> int:
    """Build the zips and the template, or only the lock. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_infra.build", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--target", choices=(LAMBDA.name, LOCAL.name), default=LAMBDA.name)
    parser.add_argument("--lock", action="store_true", help="only bring requirements.lock up to date")
    parser.add_argument("--constraint", type=Path, action="append", default=[], help="a file, for --lock")
    options = parser.parse_args()
    if options.lock:
        return make_lock(options.folder, options.constraint)
    return build(options.folder, local=options.target == LOCAL.name)


if __name__ == "__main__":
    sys.exit(main())

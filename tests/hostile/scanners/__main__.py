"""Runs every scanner: `python -m tests.hostile.scanners`, or some: `python -m tests.hostile.scanners checkov`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.scanners.scan import ONLINE, SCANNERS


def main() -> int:
    """Print what each scanner finds. Returns 1 if one finds anything that has no excuse."""
    scanners = {**SCANNERS, **ONLINE}
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.scanners", description=__doc__)
    parser.add_argument("scanner", nargs="*", choices=[*scanners, []], help="all, if none is named")
    found = 0
    for name in parser.parse_args().scanner or scanners:
        with tempfile.TemporaryDirectory() as scratch:
            wrong = scanners[name].wrong(Path(scratch))
        print(f"{name}: {len(wrong)} findings, {len(scanners[name].excuses)} excuses")
        print("".join(f"  {line}\n" for line in wrong), end="")
        found += len(wrong)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

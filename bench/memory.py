"""That memory does not grow with what goes through: `python -m bench.memory --size 5G`.

The peak of a process that has the worker's door and sends a result, or reads an upload, of 256 MB, and of the larger
size. The other side is `bench.null_s3`.
"""

from __future__ import annotations

import argparse
import re
import sys

from bench import null_s3
from bench.transfer_methods import measure

SMALL = 256 * 1024**2
_UNITS = {"M": 1024**2, "G": 1024**3}


def size_of(text: str) -> int:
    """Bytes of `5G` or `512M`. Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d+)([MG])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"a size is a number with M or G, such as 5G, not {text}")
    return int(match[1]) * _UNITS[match[2]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("5G"), help="the larger size (default: 5G)")
    options = parser.parse_args()
    with null_s3.running() as url:
        for method in ("sink", "source"):
            small, large = (measure(method, url, size) for size in (SMALL, options.size))
            sys.stdout.write(
                f"{method:8}{small.size:>14,} bytes: {small.peak:5.1f} MB"
                f"   {large.size:>14,} bytes: {large.peak:5.1f} MB"
                f"   {large.peak / small.peak - 1:+.1%}   {large.rate:.0f} MB/s\n"
            )


if __name__ == "__main__":
    main()

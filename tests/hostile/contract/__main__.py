"""Sends the service requests made from its OpenAPI document: `python -m tests.hostile.contract --cases 100000`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from tests.hostile.contract.campaign import run_piece, served

EXAMPLES = 60
PHASES = ("examples", "coverage", "fuzzing", "stateful")


def main() -> int:
    """Print a line for each piece, and what went wrong. Returns 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.contract", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="requests in all, at least")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first piece; each has the next one")
    arguments = parser.parse_args()
    cases, wrong, began = 0, 0, time.monotonic()
    for seed in count(arguments.seed):
        # a service and an emulator for each piece: lists stay short
        with tempfile.TemporaryDirectory() as scratch, served(Path(scratch)) as api:
            piece = run_piece(api, Path(scratch), examples=EXAMPLES, seed=seed, phases=PHASES)
        cases, wrong = cases + piece.cases, wrong + (not piece.passed)
        rate = cases / (time.monotonic() - began)
        print(f"seed {seed}: {'ok' if piece.passed else 'WRONG'}, {cases:,} requests so far, {rate:.0f}/s", flush=True)
        if not piece.passed:
            print(piece.said, flush=True)
        if cases >= arguments.cases or not piece.cases:
            break
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

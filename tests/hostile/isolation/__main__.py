"""Asks for every cell of the isolation matrix and prints the table: `python -m tests.hostile.isolation`."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.hostile.isolation.campaign import Campaign, run_campaign
from tests.hostile.isolation.credentials import good
from tests.hostile.isolation.matrix import foreign
from tests.hostile.isolation.table import PAGE, table, with_table
from tests.repository import ROOT


def main() -> int:
    """Print the table, or write it into the documentation. Returns 1 if an answer tells what it should not."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.isolation", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE}")
    parser.add_argument("--timing", type=int, metavar="N", help="time N requests for each: another's job, and none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, run_campaign(Path(scratch)) as campaign:
        made = table(campaign.operations, campaign.rows)
        if arguments.write:
            page = ROOT / PAGE
            page.write_text(with_table(page.read_text(), made))
        else:
            print(made)
        if arguments.timing:
            print(_timing(campaign, arguments.timing))
        told = [row for row in campaign.rows if not row.alike or row.leaks]
        print(f"{len(campaign.rows)} cells, {len(told)} of which tell something; unchanged: {campaign.unchanged}")
    return 1 if told or not campaign.unchanged else 0


def _timing(campaign: Campaign, number: int) -> str:
    """Time requests for what is another's and for what never was, in turns."""
    operation = next(one for one in campaign.operations if one.id == "get_job")
    thing = foreign(operation, campaign.victim.things, {})[0]
    taken: dict[str, list[float]] = {"another's": [], "none": []}
    with httpx.Client(base_url=campaign.attacker.url, trust_env=False, headers=good(campaign.keys)) as http:
        for _ in range(number):
            for kind, names in (("another's", thing.names), ("none", thing.renamed())):
                began = time.perf_counter()
                http.get(operation.url(names))
                taken[kind].append(1000 * (time.perf_counter() - began))
    lines = (f"{kind}: median {statistics.median(times):.2f} ms" for kind, times in taken.items())
    return f"{number} requests each, in turns; {', '.join(lines)}"


if __name__ == "__main__":
    sys.exit(main())

"""Goes the paths with IAM enforced, then without each statement in turn: `python -m tests.hostile.permissions`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from tests.hostile.permissions.campaign import (
    NOT_TRAVELLED,
    Stop,
    failing_without,
    travel,
    unneeded,
    unneeded_actions,
    whole_stack,
)
from tests.hostile.permissions.roles import Statement


def main() -> int:
    """Print what was denied, and what fails without each statement. Returns 1 if something was, or nothing does."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.permissions", description=__doc__)
    parser.add_argument("--remove", action="store_true", help="also take away each statement, and tell what fails")
    arguments = parser.parse_args()
    with whole_stack() as stop:
        statements, first = stop.roles.statements(), dict[str, str]()
        for name, seconds, allowed in travel(stop):
            print(f"{name}: {seconds:.1f} s, {len(allowed)} new requests", flush=True)
            for one in statements:
                if one.title not in first and any(one.allows(request) for request in allowed):
                    first[one.title] = name
        wrong = _compared(stop, statements)
        if arguments.remove:
            wrong += _removed(stop, statements, first)
    return 1 if wrong else 0


def _compared(stop: Stop, statements: Sequence[Statement]) -> int:
    decided = stop.decisions()
    for request in decided["denies"]:
        print(f"DENIED: {request.role} {request.action} on {request.resource}")
    for line in unneeded_actions(statements, decided["allows"]):
        print(f"asked for by no path: {line}")
    idle = [one for one in unneeded(statements, decided["allows"]) if one.title not in NOT_TRAVELLED]
    print(f"{len(statements)} statements, {len(idle)} needed by no path: {[one.title for one in idle]}", flush=True)
    return len(decided["denies"]) + len(idle)


def _removed(stop: Stop, statements: Sequence[Statement], first: Mapping[str, str]) -> int:
    missed = 0
    for statement in statements:
        if statement.title in NOT_TRAVELLED:
            print(f"kept {statement.title}: {NOT_TRAVELLED[statement.title]}", flush=True)
            continue
        failed = failing_without(stop, statement, first.get(statement.title, ""))
        missed += not failed
        print(f"without {statement.title}: {failed or 'NOTHING FAILS'}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())

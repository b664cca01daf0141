"""The isolation matrix as a table of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.hostile.isolation.credentials import OF_TENANTS, REFUSED
from tests.hostile.isolation.matrix import ANOTHER, Row
from tests.hostile.isolation.operations import Operation

PAGE = "docs/security.md"

HEAD = """\
| operation | scope | credentials that are none | without the scope | what is another tenant's |
|---|---|---|---|---|
"""


def table(operations: Sequence[Operation], rows: Sequence[Row]) -> str:
    """Return one line for each operation: the statuses that were answered, and how often."""
    return HEAD + "".join(_line(one, [row for row in rows if row.operation == one]) for one in operations)


def _line(operation: Operation, rows: Sequence[Row]) -> str:
    refused = [row for row in rows if row.who in {*REFUSED, *OF_TENANTS}]
    another = [row for row in rows if row.who == ANOTHER]
    lacking = [row for row in rows if row not in refused and row not in another]
    scope = f"`{operation.scope}`" if operation.scope else ("any" if refused else "open to all")
    return f"| `{operation.title}` | {scope} | {_cell(refused)} | {_cell(lacking)} | {_cell(another)} |\n"


def _cell(rows: Sequence[Row]) -> str:
    counted = Counter(f"{row.there.status}{'' if row.alike and not row.leaks else ' (tells)'}" for row in rows)
    return ", ".join(f"{count} times {status}" for status, count in sorted(counted.items())) or "-"


def with_table(page: str, made: str) -> str:
    """Return a page with its table replaced."""
    before, found, after = page.partition(HEAD)
    if not found:
        raise ValueError(f"{PAGE} has no table that begins as this one")
    return before + made + "\n" + "\n".join(_after_table(after.splitlines())) + "\n"


def _after_table(lines: Iterable[str]) -> Iterable[str]:
    inside = True
    for line in lines:
        inside = inside and line.startswith("|")
        if not inside:
            yield line

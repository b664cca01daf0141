"""docs/lifecycle.md is generated from the table of transitions.

To generate it again: `python tests/architecture/test_lifecycle_doc.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coatcheck.core.lifecycle import TRANSITIONS, Transition

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"

INTRODUCTION = """\
# The life of a job

This page is generated from the table of transitions in `coatcheck/core/lifecycle.py`. The condition of every write is
made from the same table. A client sees `status` and `done` of the job, and each transition in its events, except
`renew lease`.
"""


def drawn() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, "```mermaid", *_diagram(), "```", "", *_table(), ""])


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    for transition in TRANSITIONS:
        for source in transition.sources or ("[*]",):
            yield f"    {source} --> {transition.target or source}: {transition.name}"
    for final in sorted(
        {transition.target for transition in TRANSITIONS if transition.target and transition.target.final}
    ):
        yield f"    {final} --> [*]"


def _table() -> Iterator[str]:
    yield "| transition | from, and when | to | event | may the sweeper make it |"
    yield "|---|---|---|---|---|"
    for transition in TRANSITIONS:
        by_sweeper = "when the lease has run out" if transition.by_sweeper else ""
        cells = (
            transition.name,
            _sources(transition),
            transition.target or "the same",
            transition.event or "",
            by_sweeper,
        )
        yield f"| {' | '.join(cells)} |"


def _sources(transition: Transition) -> str:
    described = [
        " if ".join([status, *([" and ".join(sorted(guards))] if guards else [])])
        for status, guards in transition.sources.items()
    ]
    return "; ".join(described) or "nothing"


def test_the_page_is_as_the_table_says() -> None:
    assert PAGE.read_text() == drawn()


if __name__ == "__main__":
    PAGE.write_text(drawn())

"""The tables of docs/metrics.md are generated from the definitions of the metrics.

To generate them again: `python tests/architecture/test_metrics_doc.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from coatcheck.core.metrics.definitions import METRICS, TENANT, Dimensions, Kind, Metric
from coatcheck.telemetry.prometheus import prometheus_name

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

BEGIN, END = "<!-- generated from coatcheck/core/metrics/definitions.py -->\n", "<!-- end -->\n"


ASKED_FOR = "Only where `COATCHECK_METRICS_TENANTS` is `on`"


def with_tables(page: str) -> str:
    """The page with the tables as they have to be."""
    before, _, rest = page.partition(BEGIN)
    return "".join([before, BEGIN, *(f"{line}\n" for line in _table()), END, rest.partition(END)[2]])


def _table() -> Iterator[str]:
    yield ""
    yield "| metric | unit | values | by | meaning |"
    yield "|---|---|---|---|---|"
    for metric in METRICS:
        meaning = f"{metric.meaning}. {ASKED_FOR}" if TENANT in metric.dimensions else metric.meaning
        names = f"`{metric.name}`<br>`{_prometheus(metric)}`"
        cells = (names, metric.unit, metric.kind.value, _sets(metric.sets), meaning)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _prometheus(metric: Metric) -> str:
    return prometheus_name(metric) + ("_total" if metric.kind in {Kind.COUNT, Kind.SHARE} else "")


def _sets(sets: Sequence[Dimensions]) -> str:
    return "; ".join(", ".join(f"`{one}`" for one in names) or "all" for names in sets)


def test_the_page_is_as_the_definitions_say() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))

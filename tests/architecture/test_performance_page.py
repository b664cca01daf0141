"""docs/performance.md is what the benches recorded, and has a row for each thing that they measure."""

from __future__ import annotations

import importlib.util

from bench import lambda_invocations, report
from bench.report_rows import BENCHES, Row
from tests.repository import ROOT


def test_the_page_is_what_was_recorded() -> None:
    assert report.recorded().keys() <= BENCHES.keys()
    assert report.PAGE.read_text() == report.render(report.recorded()), "write it: python -m bench.report --page"


def test_each_command_of_the_page_is_a_bench() -> None:
    modules = {bench.command.split()[0] for bench in BENCHES.values()}
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


def test_the_functions_that_are_measured_are_those_that_are_deployed() -> None:
    template = (ROOT / "infra/coatcheck_infra/template.yaml").read_text()
    for handler in (lambda_invocations.API, lambda_invocations.WORKER, lambda_invocations.DELIVERER):
        assert f"Handler: {handler}\n" in template


def test_a_bench_that_failed_keeps_its_rows() -> None:
    rows = [row for bench in BENCHES.values() for row in bench.rows]
    page = report.render({"bill": {"failed": "no | emulator", "date": "2026-11-29"}})
    assert page.count("| not measured: ") == len(rows)
    assert "| not measured: no / emulator |" in page


def test_bold_is_the_better_one() -> None:
    fast, small = Row("-", "MB/s", "-", more=True), Row("-", "MB", "-")
    assert [report.ratio(fast, 2, 1), report.ratio(fast, 1, 2)] == ["**2.00**", "0.50"]
    assert [report.ratio(small, 2, 1), report.ratio(small, 1, 2)] == ["2.00", "**0.50**"]
    assert report.ratio(small, 1, 0) == ""

"""The load test's short form."""

from __future__ import annotations

from pathlib import Path

from tests.kill.emulator import emulator
from tests.load.faulty_transports import FaultRates
from tests.load.workload import Load, run


def test_jobs_succeed_once_whatever_goes_wrong(tmp_path: Path) -> None:
    fault_rates = FaultRates(faults=0.05, doubled=0.1)
    load = Load(30, workers=2, kill_every=2, fault_rates=fault_rates, sweep_every=1, give_up_after=270, most_kills=15)
    with emulator(tmp_path, lease=6) as stores:
        report = run(stores, load)
    assert report.violations == []
    assert report.kills >= 5
    assert report.attempts >= load.jobs

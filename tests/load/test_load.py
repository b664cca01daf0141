"""The load test's short form."""

from __future__ import annotations

from pathlib import Path

from tests.kill.ground import ground
from tests.load.doors import Weather
from tests.load.load import Load, run


def test_jobs_succeed_once_whatever_goes_wrong(tmp_path: Path) -> None:
    weather = Weather(faults=0.05, doubled=0.1)
    load = Load(30, workers=4, kill_every=2, weather=weather, sweep_every=1, give_up_after=270, most_kills=15)
    with ground(tmp_path, lease=6) as stores:
        report = run(stores, load)
    assert report.flaws == []
    assert report.kills >= 5
    assert report.attempts >= load.jobs

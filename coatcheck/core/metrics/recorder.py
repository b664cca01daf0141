"""Where code records the values of metrics, as it writes lines to a logger. Nothing is kept until it is switched on.

To record is to append to a deque, which threads may do at once: no lock, no arithmetic. All else is done when the
values are taken (`coatcheck.telemetry`).
"""

from __future__ import annotations

from collections import deque
from typing import Protocol, TypeAlias

from coatcheck.core.metrics.definitions import TENANT, Metric

MAX_VALUES = 100_000
"""Values that are kept until they are taken. Beyond that the oldest are lost: memory has a limit."""

Sample: TypeAlias = tuple[Metric, float, tuple[str, ...]]
"""A metric, a value, and the values of its dimensions."""


class Record(Protocol):
    """Records a value, as `Recorder.record` does."""

    def __call__(self, metric: Metric, value: float, /, *dimensions: str) -> None: ...


class Recorder:
    """Keeps the values of a process until an output takes them. May be used from several threads."""

    def __init__(self) -> None:
        self.on: bool = False
        self.by_tenant: bool = False
        self._samples: deque[Sample] = deque(maxlen=MAX_VALUES)

    def switch_on(self, *, by_tenant: bool = False) -> None:
        """Keep values from now on; those of single tenants only with `by_tenant`."""
        self.on, self.by_tenant = True, by_tenant

    def switch_off(self) -> None:
        """Keep nothing more, and forget what was kept."""
        self.on = self.by_tenant = False
        self._samples.clear()

    def record(self, metric: Metric, value: float, /, *dimensions: str) -> None:
        """Record a value. `dimensions` are those of the metric, in its order. Raises nothing."""
        if self.on and (self.by_tenant or TENANT not in metric.dimensions):
            self._samples.append((metric, value, dimensions))

    def take(self) -> list[Sample]:
        """The values since the last time, in their order."""
        taken: list[Sample] = []
        try:
            while True:
                taken.append(self._samples.popleft())
        except IndexError:
            return taken


RECORDER: Recorder = Recorder()
"""The recorder of this process, as the root logger is its logger."""

record: Record = RECORDER.record

"""Takes what a process has recorded, and hands it to its outputs: after each invocation, or every few seconds."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from coatcheck.core.clock import system_clock
from coatcheck.core.metrics import emf
from coatcheck.core.metrics.recorder import RECORDER, Recorder, Sample
from coatcheck.core.settings import Settings
from coatcheck.core.tracing import flush_spans

log: logging.Logger = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0
"""Seconds between two flushes of a process: six lines a minute for each endpoint and job type that is busy."""


class MetricsOutput(Protocol):
    """Where the values of metrics go."""

    def write(self, samples: Sequence[Sample]) -> None:
        """Take these values."""


class EmfLines:
    """Writes lines in the embedded metric format to stdout, whence they get to CloudWatch Logs."""

    def __init__(
        self,
        namespace: str,
        *,
        write: Callable[[str], object] | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._namespace, self._clock, self._write = namespace, clock, write or _write_to_stdout

    def write(self, samples: Sequence[Sample]) -> None:
        """Write lines for these values, in one piece."""
        lines = list(emf.lines(samples, namespace=self._namespace, now=self._clock()))
        if lines:
            self._write("\n".join([*lines, ""]))


class MetricsPump:
    """Hands what `recorder` holds to the outputs. May be used from several threads."""

    def __init__(self, outputs: Sequence[MetricsOutput], recorder: Recorder = RECORDER) -> None:
        self._outputs, self._recorder = outputs, recorder
        self._lock = threading.Lock()

    def flush(self) -> None:
        """Write what was recorded until now. Raises nothing: nobody's work fails for a metric."""
        with self._lock:
            samples = self._recorder.take()
            for output in self._outputs:
                try:
                    output.write(samples)
                except Exception:
                    log.exception("metrics are lost")

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Write what is recorded within this context at its end, and let the spans go that have ended."""
        try:
            yield
        finally:
            self.flush()
            flush_spans()


def pump_for_lambda(settings: Settings) -> MetricsPump:
    """Switch the recorder on as the settings say. The pump is to be flushed after each invocation.

    Lambda freezes a function in between, and may never thaw it: values that wait for the next invocation may be lost.
    """
    if settings.metrics == "off":
        return MetricsPump([])
    RECORDER.switch_on(by_tenant=settings.metrics_tenants == "on")
    return MetricsPump([EmfLines(settings.metrics_namespace)])


def start_pump(settings: Settings, *, seconds: float = FLUSH_SECONDS) -> MetricsPump:
    """Switch the recorder on as the settings say, and flush it every few seconds and when the process ends.

    Raises BadSettings if the port for Prometheus cannot be served.
    """
    outputs: list[MetricsOutput] = []
    if settings.metrics != "off":
        outputs.append(EmfLines(settings.metrics_namespace))
    pump = MetricsPump(outputs)
    if settings.metrics_port:
        from coatcheck.telemetry.prometheus import serve_prometheus  # noqa: PLC0415 - an extra, which few install

        outputs.append(serve_prometheus(settings.metrics_port, pump.flush))
    if outputs:
        RECORDER.switch_on(by_tenant=settings.metrics_tenants == "on")
        threading.Thread(target=_flush_for_ever, args=(pump, seconds), name="metrics", daemon=True).start()
        atexit.register(pump.flush)
    return pump


def _flush_for_ever(pump: MetricsPump, seconds: float) -> None:
    never = threading.Event()
    while not never.wait(seconds):
        pump.flush()


def _write_to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

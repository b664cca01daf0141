"""The heartbeat of one attempt: renews the lease, writes progress, and reads whether to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Self

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError, AwsUnavailable
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job, Progress
from coatcheck.core.lifecycle import Status
from coatcheck_worker.ticker import RENEWALS_PER_LEASE, Ticker

log = logging.getLogger(__name__)

MIN_RENEWAL_INTERVAL = 2 * SECOND
"""The least time between two renewals. One that carries progress, or that retries, does not wait for the interval."""

STOP_GRACE = 5 * SECOND
"""How long a handler may go on after a stop was requested, before its process is ended."""


class StopReason(Enum):
    """Why an attempt has to end before its handler has finished."""

    CANCELED = "the job was canceled"
    OUT_OF_TIME = "the attempt ran past its timeout"
    LEASE_LOST = "it has lost its lease"
    HANDED_BACK = "the worker is being stopped"


OnStop = Callable[[StopReason], object]


class Heartbeat:
    """Ticks by `ticker` while a handler runs. No error ends it, except the end of the process.

    `deadline` is when the attempt must end (milliseconds).
    """

    def __init__(
        self,
        transport: Transport,
        table: str,
        job: Job,
        *,
        lease: int,
        deadline: int,
        clock: Callable[[], int],
        ticker: Ticker,
    ) -> None:
        self._transport, self._table, self._job = transport, table, job
        self._lease, self.deadline, self._clock = lease, deadline, clock
        self._on_stop: OnStop = lambda _: None
        self._on_unresponsive: OnStop = lambda _: None
        self._progress: Progress | None = None
        self._reported: Progress | None = None
        self._lease_until = job.lease_until or clock()
        # the lease began when the claim was sent, however late it was answered
        self._last_renewal = self._last_attempted = self._lease_until - lease
        self._stopped_at = 0
        self._closed = False
        self._lock = threading.Lock()
        self._ticking = ticker(self._tick)
        self.stop: StopReason | None = None

    def __enter__(self) -> Self:
        self._ticking.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._ticking.__exit__(None, None, None)

    def set_progress(self, progress: Progress) -> None:
        """Record the handler's progress; the next renewal writes it."""
        self._progress = progress

    def call_when_stopped(self, action: OnStop) -> None:
        """Call `action` when the attempt has to end, or at once if it already has to."""
        with self._lock:
            self._on_stop = action
            stop = self.stop
        if stop is not None:
            action(stop)

    def call_when_unresponsive(self, action: OnStop) -> None:
        """Call `action`, from a tick, if the handler still runs a while after the attempt had to end."""
        self._on_unresponsive = action

    def request_stop(self, stop: StopReason) -> None:
        """Request that the attempt ends. The first reason is kept."""
        with self._lock:
            if self.stop is not None:
                return
            self.stop, self._stopped_at = stop, self._clock()
            action = self._on_stop
        action(stop)
        log.info("stopping %s: %s", self._job.id, stop.value)

    def _tick(self) -> None:
        try:
            self._tick_once()
        except Exception:
            # the lease, the timeout and a cancel depend on the next tick; there may be no memory even to log this
            with contextlib.suppress(Exception):
                log.exception("%s: a step of its heartbeat failed; the heartbeat goes on", self._job.id)

    def _tick_once(self) -> None:
        now = self._clock()
        if now >= self.deadline:
            self.request_stop(StopReason.OUT_OF_TIME)
        if self.stop is not None and now - self._stopped_at >= STOP_GRACE:
            # again with each tick: it does nothing to a runner that has ended
            self._on_unresponsive(self.stop)
        if self.stop is not StopReason.LEASE_LOST and self._due(now):
            self._renew_lease(now)

    def _due(self, now: int) -> bool:
        unreported = self._progress is not self._reported
        interval = self._lease // RENEWALS_PER_LEASE
        # if the clock was put back, do not wait until it reaches its old time
        since_attempted, since_renewal = abs(now - self._last_attempted), abs(now - self._last_renewal)
        return since_attempted >= min(MIN_RENEWAL_INTERVAL, interval) and (unreported or since_renewal >= interval)

    def _renew_lease(self, now: int) -> None:
        self._last_attempted, unreported = now, self._progress
        try:
            renew_lease = transitions.renew_lease(
                self._table, self._job, now=now, lease=self._lease, progress=unreported
            )
            outcome = self._transport.send(replace(renew_lease, urgent=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next beat may go through
            self._not_renewed(unreported, error)
            return
        row = outcome.job if isinstance(outcome, transitions.TransitionRefused) else outcome
        if row is None or not self._holds(row):
            if not self._closed:
                self.request_stop(StopReason.LEASE_LOST)
            return
        if row is outcome:
            self._reported = unreported
        self._last_renewal, self._lease_until = now, row.lease_until or now
        if row.status is Status.CANCELING:
            self.request_stop(StopReason.CANCELED)

    def _not_renewed(self, unreported: Progress | None, error: Exception) -> None:
        if not isinstance(error, AwsUnavailable) and self._progress is unreported:
            # progress is the only part of a renewal that comes from the handler: the next one goes without it
            self._progress = self._reported
        if self._clock() >= self._lease_until:
            self.request_stop(StopReason.LEASE_LOST)
        unexpected = None if isinstance(error, AwsError) else error
        level = logging.ERROR if unexpected else logging.WARNING
        log.log(level, "beat of %s failed: %s", self._job.id, error, exc_info=unexpected)

    def _holds(self, row: Job) -> bool:
        """Whether the attempt is still ours: a renewal is also refused if the row already holds our longer lease."""
        same = (row.attempt, row.created_at) == (self._job.attempt, self._job.created_at)
        return same and row.status.active

"""The heartbeat of one attempt: keeps the lease, carries progress out and the order to stop in."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from enum import Enum
from typing import Self

from coatcheck.calls import AwsError, AwsUnavailable
from coatcheck.clock import SECOND
from coatcheck.lifecycle import Status
from coatcheck.record import Job, Progress
from coatcheck.table import moves
from worker.aws import Aws

log = logging.getLogger(__name__)

Look = Callable[[], bool]
Pace = Callable[[Look, float], AbstractContextManager[object]]
"""Calls a look again and again, beside what runs in the context, until it answers False or the context ends.

When it cannot call one for so many seconds, it ends the process.
"""

BEATS_PER_LEASE = 4
BEAT_PAUSE = 2 * SECOND
"""The least time between two beats: one that takes news along, or that tries again, does not wait for its turn."""

HELD = frozenset({Status.RUNNING, Status.CANCELING})
STUBBORN_AFTER = 5 * SECOND
"""How long a handler that was told to stop may go on before its process is ended."""


class Stop(Enum):
    """Why an attempt has to end before its handler is through."""

    CANCELED = "the job was canceled"
    OUT_OF_TIME = "the attempt ran past its timeout"
    LEASE_LOST = "another worker holds the job"
    HANDED_BACK = "the worker is being stopped"


class Heart:
    """Beats at `pace` while a handler runs. No error ends it but that of a process which is gone.

    `deadline` is when the attempt must end (milliseconds). `on_stubborn` is called, out of a look, when the handler
    still runs a while after the attempt had to end.
    """

    def __init__(
        self,
        aws: Aws,
        table: str,
        job: Job,
        *,
        lease: int,
        deadline: int,
        clock: Callable[[], int],
        on_stubborn: Callable[[Stop], None],
        pace: Pace,
    ) -> None:
        self._aws, self._table, self._job = aws, table, job
        self._lease, self.deadline, self._clock = lease, deadline, clock
        self._on_stubborn = on_stubborn
        self._on_stop: Callable[[], object] = lambda: None
        self._progress: Progress | None = None
        self._told: Progress | None = None
        self._last_beat = self._last_try = clock()
        self._lease_until = job.lease_until or self._last_beat
        self._stopped_at = 0
        self._quiet = False
        self._lock = threading.Lock()
        self._pacing = pace(self._look, lease / SECOND)
        self.stop: Stop | None = None

    def __enter__(self) -> Self:
        self._pacing.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet = True
        self._pacing.__exit__(None, None, None)

    def tell(self, progress: Progress) -> None:
        """Note how far the handler is; the next beat takes it along."""
        self._progress = progress

    def when_stopped(self, action: Callable[[], object]) -> None:
        """Call `action` when the attempt has to end; at once if it already has to."""
        with self._lock:
            self._on_stop = action
            stopped = self.stop is not None
        if stopped:
            action()

    def order(self, stop: Stop) -> None:
        """Tell the attempt to end. The first reason stands."""
        with self._lock:
            if self.stop is not None:
                return
            self.stop, self._stopped_at = stop, self._clock()
            action = self._on_stop
        action()
        log.info("stopping %s: %s", self._job.id, stop.value)

    def _look(self) -> bool:
        try:
            return self._look_once()
        except Exception:
            # the lease, the timeout and a cancel rest on the next look; there may be no memory even to say so
            with contextlib.suppress(Exception):
                log.exception("%s: a look of its heartbeat failed; it goes on", self._job.id)
            return True

    def _look_once(self) -> bool:
        now = self._clock()
        if now >= self.deadline:
            self.order(Stop.OUT_OF_TIME)
        if self.stop is not None and now - self._stopped_at >= STUBBORN_AFTER:
            self._on_stubborn(self.stop)
            return False
        if self.stop is not Stop.LEASE_LOST and self._due(now):
            self._beat(now)
        return True

    def _due(self, now: int) -> bool:
        news = self._progress is not self._told
        pause = self._lease // BEATS_PER_LEASE
        # a clock that was put back by as much is no reason to wait until it is where it was
        tried, beaten = abs(now - self._last_try), abs(now - self._last_beat)
        return tried >= min(BEAT_PAUSE, pause) and (news or beaten >= pause)

    def _beat(self, now: int) -> None:
        self._last_try, news = now, self._progress
        try:
            beat = moves.beat(self._table, self._job, now=now, lease=self._lease, progress=news)
            outcome = self._aws.send(replace(beat, urgent=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next beat may go through
            self._not_renewed(news, error)
            return
        row = outcome.job if isinstance(outcome, moves.Refused) else outcome
        if row is None or not self._holds(row):
            if not self._quiet:
                self.order(Stop.LEASE_LOST)
            return
        if row is outcome:
            self._told = news
        self._last_beat, self._lease_until = now, row.lease_until or now
        if row.status is Status.CANCELING:
            self.order(Stop.CANCELED)

    def _not_renewed(self, news: Progress | None, error: Exception) -> None:
        if not isinstance(error, AwsUnavailable) and self._progress is news:
            # it is the one part of a beat that is a handler's: the next goes without
            self._progress = self._told
        if self._clock() >= self._lease_until:
            self.order(Stop.LEASE_LOST)
        unexpected = None if isinstance(error, AwsError) else error
        level = logging.ERROR if unexpected else logging.WARNING
        log.log(level, "beat of %s failed: %s", self._job.id, error, exc_info=unexpected)

    def _holds(self, row: Job) -> bool:
        """Whether the attempt is still ours: a beat is also refused where a longer lease of ours stands already."""
        same = (row.attempt, row.created_at) == (self._job.attempt, self._job.created_at)
        return same and row.status in HELD

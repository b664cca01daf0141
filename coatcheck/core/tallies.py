"""What a tenant has: sums that are kept in parts, one for each day after which a part no longer counts.

A sum that is given back by hand leaks when whoever gives back dies. Here it leaks until the end of a day at the most:
the part of a day that is over is taken from the sum, whatever was given back of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coatcheck.core.clock import DAY
from coatcheck.core.job import Job

WAITING_COUNTS = 7 * DAY
"""Milliseconds after the time to start for which a job that waits counts, at most."""

LONGEST_WAITING = 30 * DAY
"""Milliseconds for which a job counts as waiting at most: so an item has no more parts than days."""


class Tally(StrEnum):
    """What is summed up of a tenant."""

    WAITING = "waiting"
    """Jobs that were accepted and have not started."""

    STORED = "stored"
    """Bytes in the bucket."""


@dataclass(frozen=True, slots=True)
class Count:
    """An amount of a tally that counts until a time, in milliseconds. It is refused if the sum would exceed `most`."""

    tally: Tally
    amount: int
    until: int
    most: int | None = None

    @property
    def part(self) -> str:
        """The name of the part that the amount is in."""
        return f"{self.tally}_{self.until // DAY + 1}"


def is_over(part: str, now: int) -> bool:
    """Whether a part no longer counts."""
    return int(part.rpartition("_")[2]) <= now // DAY


def named(job: Job) -> str:
    """What tells the job from all others, also from one that had its id before it."""
    return f"{job.id} {job.created_at}"


def waiting(job: Job, most: int | None = None) -> Count:
    """The job, as one that waits."""
    start_at = max(job.run_at or 0, job.created_at)
    return Count(Tally.WAITING, 1, min(start_at + WAITING_COUNTS, job.created_at + LONGEST_WAITING), most)


def stored_input(job: Job, most: int | None = None) -> Count:
    """The input of the job, which is kept until about its retention is over."""
    size = 0 if job.input.inline is not None else job.input.size
    return Count(Tally.STORED, size, max(job.run_at or 0, job.created_at) + job.retention, most)

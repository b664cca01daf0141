"""The job type of the load test: its result shows which job it is of, and what its input was."""

from __future__ import annotations

import hashlib
import time

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog
from coatcheck.authoring.retry import RetryPolicy
from coatcheck.authoring.types import job

STEP = 0.1


class LoadInput(BaseModel):
    """`seconds` of waiting, and a word that no other job has."""

    seconds: float
    word: str


class LoadResult(BaseModel):
    """The digest of job and input."""

    digest: str


def digest(job_id: str, word: str) -> str:
    """What the job has to answer."""
    return hashlib.sha256(f"{job_id} {word}".encode()).hexdigest()


@job("load.work", timeout=60, max_attempts=20, retry=RetryPolicy(base=0.2, cap=2))
def work(given: LoadInput, ctx: Context) -> LoadResult:
    """Wait, looking now and then."""
    until = time.monotonic() + given.seconds
    while time.monotonic() < until:
        ctx.check()
        time.sleep(STEP)
    return LoadResult(digest=digest(ctx.job_id, given.word))


CATALOG = catalog(work)

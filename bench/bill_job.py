"""The job of the bill: it takes nothing, and returns 20 KB that do not deflate."""

from __future__ import annotations

import random

from pydantic import BaseModel

from coatcheck import Context, Result, job

RESULT_SIZE = 20_000


class Nothing(BaseModel):
    """What it takes."""


@job("bench.result")
def result(_given: Nothing, _: Context) -> Result:
    """Return the same bytes each time."""
    body = random.Random(1).randbytes(RESULT_SIZE)  # noqa: S311 - they are for nobody
    return Result(body)

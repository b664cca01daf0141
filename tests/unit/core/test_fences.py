"""No write of a row can be made for the job before it under its id: what makes one takes the job as it was read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import pytest

from coatcheck.core.aws.dynamodb import job_updates, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job

BY_A_MESSAGE = {"claim", "release"}
"""What starts whichever job has the key: a message names no more, and what is due is to be started."""


def writes() -> Iterator[tuple[str, Callable[..., object]]]:
    """Every function that answers with the outcome of a write of a row."""
    for module in (transitions, job_updates):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and function.__annotations__["return"].startswith(
                "Call[TransitionOutcome"
            ):
                yield name, function


PUBLIC = {name: function for name, function in writes() if not name.startswith("_")}


def test_these_are_all() -> None:
    assert len(PUBLIC) >= 14
    assert {name for name, _ in writes()} - PUBLIC.keys() == {"_make", "_make_by_room", "_start"}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_write_takes_the_job_it_is_for(name: str) -> None:
    known = inspect.signature(PUBLIC[name], eval_str=True).parameters
    (of,) = [
        parameter.annotation for parameter in known.values() if parameter.annotation in {Job, JobKey, Job | JobKey}
    ]
    assert of is (JobKey if name in BY_A_MESSAGE else Job)

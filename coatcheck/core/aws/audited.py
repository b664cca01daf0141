"""Calls whose answers are noted when they are read: in the audit log, and in the metrics of jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coatcheck.core import audit
from coatcheck.core.audit import AuditRecord
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.job import Job
from coatcheck.core.metrics import jobs

T = TypeVar("T")


def audited(call: Call[T], describe: Callable[[T], AuditRecord | None]) -> Call[T]:
    """The same call, with a line for its answer. `describe` returns None for an answer by which nothing has changed."""

    def note(answer: T) -> None:
        if (what := describe(answer)) is not None:
            audit.record(what)

    return _noted(call, note)


def job_changing(call: Call[T], event: str | None, changed: Callable[[T], Job | None]) -> Call[T]:
    """The same call, with a line and metrics for the change that it makes of a job, unless `event` is None.

    `changed` returns the job after it, or None for an answer by which nothing has changed.
    """
    if event is None:
        return call

    def note(answer: T) -> None:
        if (job := changed(answer)) is not None:
            audit.record(audit.job_changed(event, job))
            jobs.job_changed(event, job)

    return _noted(call, note)


def _noted(call: Call[T], note: Callable[[T], None]) -> Call[T]:
    def with_note(read: Callable[[AwsResponse], T]) -> Callable[[AwsResponse], T]:
        def read_and_note(response: AwsResponse) -> T:
            answer = read(response)
            note(answer)
            return answer

        return read_and_note

    expected = {code: with_note(read) for code, read in call.expected_errors.items()}
    return Call(call.service, call.operation, call.params, with_note(call.read), expected, call.urgent)

"""Build what clients are shown from the values of the core. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.api.models import (
    ArtifactView,
    EventView,
    FlawView,
    JobView,
    Problem,
    ProgressView,
    ResultView,
    StartWindow,
    Urls,
)
from coatcheck.core.clock import rfc3339
from coatcheck.core.errors import JOB_ERRORS, FieldError, JobErrorKind
from coatcheck.core.job import Artifact, Blob, Job, JobError, JobEvent, Progress
from coatcheck.core.lifecycle import CLAIM, CONTINUE
from coatcheck.core.waiting import waiting_reason

_KINDS = {kind.code: kind for kind in JOB_ERRORS}


def problem_uri(base_url: str, code: str) -> str:
    """Where the kind of error `code` is documented."""
    return f"{base_url}/problems/{code}"


def field_error_views(field_errors: Sequence[FieldError]) -> list[FlawView]:
    """Field errors as clients see them."""
    return [FlawView(pointer=field_error.pointer, detail=field_error.detail) for field_error in field_errors]


def job_url(job_id: str, base_url: str) -> str:
    """The job's own address."""
    return f"{base_url}/v1/jobs/{job_id}"


def job_view(job: Job, artifacts: Sequence[Artifact], base_url: str) -> JobView:
    """`job` as clients see it. `artifacts` is what all its legs made, `base_url` the service without /v1."""
    own = job_url(job.id, base_url)
    return JobView(
        id=job.id,
        type=job.type,
        status=job.status,
        done=job.done,
        version=job.version,
        created_at=rfc3339(job.created_at),
        updated_at=rfc3339(job.updated_at),
        started_at=_time(job.started_at),
        finished_at=_time(job.finished_at),
        run_at=_time(job.run_at),
        expires_at=_time(job.expires_at),
        attempt=job.counted_attempt,
        max_attempts=job.counted_max_attempts,
        priority=job.priority,
        waiting_reason=waiting_reason(job),
        start_window=_start_window(job),
        progress=None if job.progress is None else progress_view(job.progress),
        error=_job_problem(job.error, job.id, base_url),
        result=None if job.result is None else ResultView(**_stored(job.result, job)),
        artifacts=[ArtifactView(name=made.name, **_stored(made.blob, job)) for made in artifacts],
        metadata=dict(job.metadata),
        replayed_from=job.replayed_from,
        urls=Urls(self=own, result=f"{own}/result", cancel=f"{own}/cancel", events=f"{own}/events"),
    )


def progress_view(progress: Progress) -> ProgressView:
    """How far a job says it is, as clients see it."""
    return ProgressView(fraction=progress.fraction, message=progress.message)


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event, its number in the job's history, and how many attempts had begun by then."""

    number: int
    attempt: int
    event: JobEvent


def number_events(events: Sequence[JobEvent], *, offset: int = 0, attempts: int = 0) -> list[NumberedEvent]:
    """Number events of a history that come after `offset` others, which began `attempts` attempts.

    The start of a further leg begins no attempt. A page of history never ends between two legs.
    """
    numbered = []
    attempt, between_legs = attempts, False
    for number, event in enumerate(events, start=offset + 1):
        if event.type == CLAIM.event:
            attempt += not between_legs
        between_legs = event.type == CONTINUE.event or (between_legs and event.type != CLAIM.event)
        numbered.append(NumberedEvent(number, attempt, event))
    return numbered


def event_views(
    events: Sequence[JobEvent], job_id: str, base_url: str, *, offset: int = 0, attempts: int = 0
) -> list[EventView]:
    """A job's history as clients see it, oldest first; see `number_events`."""
    return [event_view(one, job_id, base_url) for one in number_events(events, offset=offset, attempts=attempts)]


def event_view(numbered: NumberedEvent, job_id: str, base_url: str) -> EventView:
    """An event of a job as clients see it."""
    return EventView(
        id=f"evt_{numbered.number:06d}",
        type=numbered.event.type,
        at=rfc3339(numbered.event.at),
        attempt=numbered.attempt,
        error=_job_problem(numbered.event.error, job_id, base_url),
    )


def attempts_before_row(job: Job) -> int:
    """How many attempts began before the events in the job's row, which may be the later part of its history."""
    if job.history_from == 1 or not job.history:
        return 0
    return max(0, job.counted_attempt - number_events(job.history)[-1].attempt)


def _start_window(job: Job) -> StartWindow | None:
    if not job.status.waiting:
        return None
    return StartWindow(earliest=_time(job.start_at), latest=_time(job.queue_deadline))


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _stored(blob: Blob, job: Job) -> dict[str, Any]:
    return {
        "size": blob.size,
        "content_type": blob.content_type,
        "sha256": blob.sha256.hex(),
        "expires_at": _time(job.expires_at),
    }


def _job_problem(error: JobError | None, job_id: str, base_url: str) -> Problem | None:
    if error is None:
        return None
    kind = _KINDS.get(error.code) or JobErrorKind(error.code, "The job ended badly", "", retryable=True)
    return Problem(
        type=problem_uri(base_url, kind.code),
        title=kind.title,
        detail=error.detail,
        instance=f"/v1/jobs/{job_id}",
        code=kind.code,
        retryable=kind.retryable,
    )

"""The keys of objects in the bucket. They are derived, never stored: no row can point to the bytes of another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from coatcheck.core.job import Job


class KeyedJob(Protocol):
    """What the keys of a job's objects are made of."""

    @property
    def tenant(self) -> str:
        """Whose job it is."""

    @property
    def id(self) -> str:
        """The job's id."""

    @property
    def created_at(self) -> int:
        """When it was created, in milliseconds."""

    @property
    def attempt(self) -> int:
        """The attempt that makes the objects."""


def _folder(job: KeyedJob) -> str:
    """The key includes the time because an id may be used again when its job is gone."""
    return f"{job.tenant}/{job.id}/{job.created_at:013d}"


def input_key(job: Job) -> str:
    """The key of an input that is too large for the row.

    It contains the hash of the content: the input is stored before the row is created, and two requests may use one
    idempotency key with different bodies.
    """
    return f"inputs/{_folder(job)}/input-{job.input.sha256.hex()}"


def checkpoint_key(job: KeyedJob, sha256: bytes) -> str:
    """The key of a checkpoint, with the hash of its content: any later attempt may need it."""
    return f"inputs/{_folder(job)}/checkpoint-{sha256.hex()}"


def attempt_prefix(job: KeyedJob) -> str:
    """The prefix of an attempt's objects. Each attempt has its own, so that none overwrites another's objects."""
    return _attempt_prefix(job, job.attempt)


def _attempt_prefix(job: KeyedJob, attempt: int) -> str:
    return f"results/{_folder(job)}/{attempt}/"


def result_key(job: KeyedJob) -> str:
    """The key of the result of the attempt `job.attempt`."""
    return f"{attempt_prefix(job)}result"


def artifact_key(job: KeyedJob, name: str, attempt: int | None = None) -> str:
    """The key of an artifact of the attempt `job.attempt`, or of the earlier `attempt` that made it."""
    return f"{_attempt_prefix(job, job.attempt if attempt is None else attempt)}artifacts/{name}"


def upload_key(tenant: str, upload_id: str) -> str:
    """The key of an upload."""
    return f"uploads/{tenant}/{upload_id}"


def job_prefixes(tenant: str, job_id: str) -> tuple[str, str]:
    """The prefixes of the keys of all jobs that have, or had, this id."""
    return f"inputs/{tenant}/{job_id}/", f"results/{tenant}/{job_id}/"


def keys_left_by(job: Job, keys: Iterable[str]) -> list[str]:
    """The keys under `job_prefixes` to be removed when `job` has expired.

    They include objects of late submits under its idempotency key, left while the job existed. The next job with its id
    is created no earlier than this one expires. The job's own are named whatever `expires_at` says: who deletes a job
    may have a clock that is behind that of who created it.
    """
    if job.expires_at is None:
        return []
    made_by = {key: int(key.split("/")[3]) for key in keys}
    return [key for key, made in made_by.items() if made == job.created_at or made < job.expires_at]

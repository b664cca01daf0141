"""Where bytes lie in the bucket. Keys are derived, never stored: no row can point at another's bytes."""

from __future__ import annotations

from collections.abc import Iterable

from coatcheck.core.job import Job


def _folder(job: Job) -> str:
    """The time is there because an id is used again when its job is gone."""
    return f"{job.tenant}/{job.id}/{job.created_at:013d}"


def input_key(job: Job) -> str:
    """Where an input lies that is too large for the row.

    Named by its content: it is stored before the row is won, and one idempotency key may come with two bodies.
    """
    return f"inputs/{_folder(job)}/input-{job.input.sha256.hex()}"


def checkpoint_key(job: Job, sha256: bytes) -> str:
    """Where a checkpoint lies, named by its content: any later attempt may need it."""
    return f"inputs/{_folder(job)}/checkpoint-{sha256.hex()}"


def attempt_prefix(job: Job) -> str:
    """What an attempt makes lies under its own prefix, so that no attempt overwrites another's."""
    return f"results/{_folder(job)}/{job.attempt}/"


def result_key(job: Job) -> str:
    """Where the result of the attempt `job.attempt` lies."""
    return f"{attempt_prefix(job)}result"


def artifact_key(job: Job, name: str) -> str:
    """Where an artifact of the attempt `job.attempt` lies."""
    return f"{attempt_prefix(job)}artifacts/{name}"


def upload_key(tenant: str, upload_id: str) -> str:
    """Where an upload lies."""
    return f"uploads/{tenant}/{upload_id}"


def job_prefixes(tenant: str, job_id: str) -> tuple[str, str]:
    """What the keys of all jobs begin with that have, or had, this id."""
    return f"inputs/{tenant}/{job_id}/", f"results/{tenant}/{job_id}/"


def keys_left_by(job: Job, keys: Iterable[str]) -> list[str]:
    """Those of the keys under `job_prefixes` that go when `job` has expired.

    Submits that came too late under its idempotency key left theirs while it was there; the next job of its id is
    created no earlier than it expires.
    """
    return [key for key in keys if job.expires_at is not None and int(key.split("/")[3]) < job.expires_at]

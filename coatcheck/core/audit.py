"""The audit log: one line for each change of a job's status, and for each act of whoever manages the deployment.

A line is written where the answer to the write is read (`coatcheck.core.aws.audited`): no code that makes the write can
forget it, and it costs no request. A line may be missing: of a process that died after the write, or never got its
answer. The row is the truth.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields

from coatcheck.core.job import Job

LOGGER = "coatcheck.audit"

_log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """What has changed. Whose request changed it is in the log context: `request_id` and `key`.

    `action` is the event of a job (`job.started`), or what was done to a thing (`key.revoked`). `target` is the id of
    that thing, if it is no job. `trace_id` is the trace of the request that made the job; without one, that of the log
    context holds. It holds ids and codes alone, no text that a client or a handler chose freely.
    """

    action: str
    tenant: str | None = None
    job: str | None = None
    type: str | None = None
    status: str | None = None
    attempt: int | None = None
    version: int | None = None
    error: str | None = None
    target: str | None = None
    trace_id: str | None = None


_MEMBERS = tuple(field.name for field in fields(AuditRecord))


def record(what: AuditRecord) -> None:
    """Write a line to the audit log."""
    if _log.isEnabledFor(logging.INFO):
        members = {name: getattr(what, name) for name in _MEMBERS}
        _log.info(what.action, extra={name: value for name, value in members.items() if value is not None})


def job_changed(action: str, job: Job) -> AuditRecord:
    """The record of a change of a job, which is as it is after it. The error is that of the change."""
    error = job.history[-1].error if job.history else None
    return AuditRecord(
        action=action,
        tenant=job.tenant,
        job=job.id,
        type=job.type,
        status=job.status,
        attempt=job.counted_attempt,
        version=job.version,
        error=error.code if error else None,
        trace_id=job.trace.trace_id if job.trace else None,
    )

"""The body of an event: made once, when it is announced, and the same bytes in every attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coatcheck.clock import rfc3339
from coatcheck.pack import to_json
from coatcheck.record import Blob, Job
from coatcheck.views import job_view
from coatcheck.webhooks import STARTED, as_at

LONGEST_BODY = 20_000
"""Bytes: what Standard Webhooks recommends to stay under. A receiver that misses something asks for the job."""

_LEFT_OUT: Mapping[str, Any] = {"artifacts": [], "metadata": {}, "progress": None}
"""What of a job can be long, the least needed first, and what stands for it where it is too long."""


def body_of(job: Job, event: str, artifacts: Sequence[Blob]) -> bytes:
    """The JSON of an event that happened to `job`. `artifacts` is what its last attempt made.

    What makes it too long is left out and named in `omitted`.
    """
    then = as_at(job, event)
    at = then.started_at if event == STARTED else then.finished_at
    view = job_view(then, artifacts if then.artifact_count else (), job.base_url or "")
    data = view.model_dump(mode="json")
    told: dict[str, Any] = {"type": event, "timestamp": rfc3339(at or then.updated_at), "data": data}
    text = to_json(told)
    omitted: list[str] = []
    for name, nothing in _LEFT_OUT.items():
        if len(text) < LONGEST_BODY:
            break
        omitted.append(name)
        data[name] = nothing
        told["omitted"] = omitted
        text = to_json(told)
    return text

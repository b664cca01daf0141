"""The body of an event: made once, when its deliveries are created; the same bytes in every attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coatcheck.core.api.views import job_view
from coatcheck.core.clock import rfc3339
from coatcheck.core.job import Artifact, Job
from coatcheck.core.pack import to_json
from coatcheck.core.webhooks import STARTED, job_at_event

MAX_BODY = 20_000
"""Bytes: Standard Webhooks recommends to stay under this. A receiver that needs more asks for the job."""

_OMITTABLE: Mapping[str, Any] = {"artifacts": [], "metadata": {}, "progress": None}
"""Fields of a job that can be long, the least needed first, and what replaces them if the body is too long."""


def event_body(job: Job, event: str, artifacts: Sequence[Artifact]) -> bytes:
    """The JSON of an event that happened to `job`. `artifacts` is what all its legs made.

    Fields that make it too long are left out and named in `omitted`.
    """
    then = job_at_event(job, event)
    at = then.started_at if event == STARTED else then.finished_at
    view = job_view(then, artifacts if then.has_artifacts else (), job.base_url or "")
    data = view.model_dump(mode="json")
    payload: dict[str, Any] = {"type": event, "timestamp": rfc3339(at or then.updated_at), "data": data}
    text = to_json(payload)
    omitted: list[str] = []
    for name, placeholder in _OMITTABLE.items():
        if len(text) < MAX_BODY:
            break
        omitted.append(name)
        data[name] = placeholder
        payload["omitted"] = omitted
        text = to_json(payload)
    return text

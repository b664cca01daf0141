"""Another tenant, with one of everything that a tenant can have."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coatcheck.core.aws.dynamodb import webhook_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import DAY, SECOND, system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import Status
from coatcheck.core.part_plan import MIN_PART_SIZE
from coatcheck.core.webhooks import Delivery, DeliveryKey
from coatcheck_infra.local.resources import client
from tests.aws.service.running_service import Api
from tests.finished_job import FinishedJob

MARKER = "of-another-tenant"
"""Stands in all that the victim has, so that it would be seen in an answer to somebody else."""

Names = Mapping[str, str]


@dataclass(frozen=True)
class Thing:
    """Something of the victim's: what it is, and the names in a path that lead to it.

    The names in `own` are the asker's: then it is looked for inside of what is the asker's own.
    """

    label: str
    names: Names
    own: frozenset[str] = frozenset()

    def renamed(self) -> Names:
        """Names of the same form that nothing ever had, but for those that are the asker's own."""
        return {kind: name if kind in self.own else never_was(name) for kind, name in self.names.items()}

    def inside(self, own: Names) -> Thing:
        """The same, looked for inside of what the asker has."""
        return Thing(
            f"{self.label}, in one's own",
            {kind: own.get(kind, name) for kind, name in self.names.items()},
            frozenset(own),
        )


def never_was(name: str) -> str:
    """An id of the kind and length of `name`; any other name with each character changed."""
    kind, separator, _ = name.partition("_")
    if separator:
        return make_id(kind, secrets.token_bytes(16))
    return "".join(chr(ord(one) + 1) if one.isalnum() else one for one in name)


@dataclass(frozen=True)
class Victim:
    """What the tenant has, and the key it used to submit a job once."""

    api: Api
    things: Sequence[Thing]
    idempotency_key: str
    cursor: str

    def stored(self) -> str:
        """All of it, as the table and the bucket have it."""
        return json.dumps([_rows(self.api), _objects(self.api)], default=str, sort_keys=True)


def make_victim(api: Api) -> Victim:
    """Make everything there is to have, as the tenant of `api`."""
    jobs = {status: _job(api, status) for status in Status}
    key = f"key-{MARKER}"
    used = api.post(headers={"Idempotency-Key": key}).json()["id"]
    finished = jobs[Status.SUCCEEDED]
    stores = FinishedJob(
        api.running_service.worker, api.running_service.settings.table, _bucket(api), JobKey(api.tenant, finished.id)
    )
    stores.set_result(MARKER.encode(), "text/plain")
    stores.set_artifacts({f"{MARKER}.txt": MARKER.encode()}, "text/plain")
    endpoint = api.http.post("/v1/webhook-endpoints", json={"url": f"https://example.com/{MARKER}"}).json()["id"]
    tested = api.http.post(f"/v1/webhook-endpoints/{endpoint}/test").json()["id"]
    things = [
        *(Thing(f"job, {status}", {"job_id": job.id}) for status, job in jobs.items()),
        Thing("job, no longer kept", {"job_id": _gone(api).id}),
        Thing("job, under an idempotency key", {"job_id": used}),
        Thing("job, a replay", {"job_id": _replay(api, finished.id)}),
        Thing("artifact", {"job_id": finished.id, "name": f"{MARKER}.txt"}),
        Thing("delivery", {"job_id": finished.id, "delivery_id": _delivery(api, finished)}),
        *(Thing(f"upload, {kind}", {"upload_id": _upload(api, **body)}) for kind, body in UPLOADS.items()),
        Thing("endpoint", {"endpoint_id": endpoint}),
        Thing("delivery of a test", {"endpoint_id": endpoint, "delivery_id": tested}),
    ]
    cursor = api.http.get("/v1/jobs", params={"limit": 1}).json()["next"]
    return Victim(api, things, key, cursor)


UPLOADS: Mapping[str, Mapping[str, Any]] = {
    "in one request": {"size": len(MARKER)},
    "in parts": {"size": MIN_PART_SIZE + 1, "multipart": True},
}


def _job(api: Api, status: Status) -> Job:
    job = api.row(api.submit(metadata={"k": MARKER})["id"])
    error = JobError("rejected", MARKER) if status in {Status.FAILED, Status.TIMED_OUT, Status.EXPIRED} else None
    now = system_clock()
    changed = replace(
        job,
        status=status,
        version=job.version + 1,
        attempt=0 if status.waiting else 1,
        start_at=now + DAY if status is Status.SCHEDULED else job.start_at,
        started_at=None if status.waiting else now,
        claimed_at=None if status.waiting else now,
        finished_at=now if status.final else None,
        expires_at=now + DAY if status.final else None,
        error=error,
        result=Blob.of(f'"{MARKER}"'.encode(), JSON) if status is Status.SUCCEEDED else None,
    )
    api.overwrite(changed)
    return changed


def _gone(api: Api) -> Job:
    job = _job(api, Status.SUCCEEDED)
    gone = replace(job, expires_at=system_clock() - SECOND)
    api.overwrite(gone)
    return gone


def _replay(api: Api, job_id: str) -> str:
    answer = api.http.post(f"/v1/jobs/{job_id}/replay")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _delivery(api: Api, job: Job) -> str:
    now = system_clock()
    key = DeliveryKey(api.tenant, job.id, job.created_at, make_id("dlv", secrets.token_bytes(16)))
    event = make_id("evt", secrets.token_bytes(16))
    url = f"https://example.com/{MARKER}"
    delivery = Delivery(key, event, "job.succeeded", "whe_1", url, MARKER.encode(), now, now + DAY)
    settings = api.running_service.settings
    api.running_service.worker.send(
        webhook_items.put_delivery(
            settings.table, webhook_items.postponed(delivery, now, now=now), shards=settings.due_shards
        )
    )
    return key.id


def _upload(api: Api, **body: Any) -> str:
    answer = api.http.post("/v1/uploads", json={"filename": f"{MARKER}.csv", **body})
    assert answer.status_code == 201, answer.text
    assert ("parts" in answer.json()) is ("multipart" in body)
    return str(answer.json()["id"])


def _rows(api: Api) -> list[Any]:
    dynamodb = client("dynamodb", api.running_service.endpoint_url)
    pages = dynamodb.get_paginator("scan").paginate(TableName=api.running_service.settings.table)
    rows = [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith(api.tenant)]
    return sorted(rows, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def _objects(api: Api) -> list[Any]:
    listed = [api.stored(f"{folder}/{api.tenant}/") for folder in ("inputs", "results", "uploads")]
    parts = api.s3.list_multipart_uploads(Bucket=_bucket(api)).get("Uploads", [])
    return [listed, [part["UploadId"] for part in parts if f"/{api.tenant}/" in part["Key"]]]


def _bucket(api: Api) -> str:
    return api.running_service.settings.bucket

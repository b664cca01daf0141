"""`python -m tests.data.rows.record FOLDER`: write down an item of every kind as this version writes them.

To be run once for each release, by the code that is released. What it wrote is never changed afterwards: rows like
these are in tables, and every later version has to carry them on.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.history import put_history_page
from coatcheck.core.aws.dynamodb.key_items import put_key
from coatcheck.core.aws.dynamodb.upload_items import Multipart, UploadRecord, put_upload
from coatcheck.core.aws.dynamodb.webhook_items import put_delivery, put_endpoint
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.job import JSON, Blob, Job, JobError, JobEvent, Progress
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck.core.webhooks import EVENTS, Delivery, DeliveryAttempt, DeliveryKey, DeliveryStatus, WebhookEndpoint
from tests.simulation.model import Model, ModelTransport

NOW, FAR = 1_795_000_000_000, 4_000_000_000_000
TENANT = "t"
ERROR = JobError("handler-error", "the handler raised ValueError in attempt 1 of 3")

_ENDED: Mapping[str, Any] = {"finished_at": NOW, "expires_at": FAR, "due_at": NOW, "started_at": NOW - SECOND}
_HELD: Mapping[str, Any] = {
    "attempt": 1,
    "started_at": NOW - SECOND,
    "claimed_at": NOW - SECOND,
    "lease_until": NOW + MINUTE,
    "owner": "Zm9vYmFyYmF6",
    "progress": Progress(0.5, "half"),
    "started_version": 1,
}
STATUSES: Mapping[Status, Mapping[str, Any]] = {
    Status.SCHEDULED: {"run_at": NOW, "start_at": NOW},
    Status.QUEUED: {"checkpoint": Blob.of(b'{"row":7}', JSON), "attempt": 1, "started_at": NOW - SECOND},
    Status.RUNNING: _HELD,
    Status.CANCELING: _HELD,
    Status.SUCCEEDED: {**_ENDED, "attempt": 1, "result": Blob.of(b'{"n":2}', JSON), "artifact_count": 1},
    Status.FAILED: {**_ENDED, "attempt": 3, "error": ERROR},
    Status.CANCELED: {**_ENDED, "attempt": 1, "error": JobError("canceled", "canceled while it ran")},
    Status.TIMED_OUT: {**_ENDED, "attempt": 3, "error": JobError("timed-out", "attempt 3 ran past the 60 s it had")},
    Status.EXPIRED: {**_ENDED, "started_at": None, "error": JobError("queue-ttl-passed", "not started")},
}


def jobs() -> dict[str, Job]:
    """A job in every status."""
    queued = Job(
        tenant=TENANT,
        id="job_recorded",
        type="test.job",
        lane="default",
        status=Status.QUEUED,
        version=3,
        created_at=NOW - MINUTE,
        updated_at=NOW,
        attempt=0,
        max_attempts=3,
        timeout=MINUTE,
        retention=DAY,
        digest=b"d" * 32,
        input=Blob.of(b'{"n":1}', JSON),
        due_at=NOW,
        metadata={"order": "7"},
        webhook={"url": "https://hooks.example.com/", "events": list(EVENTS[1:])},
        notify=EVENTS[1:],
        base_url="https://jobs.example",
        history=(
            JobEvent("job.queued", NOW - MINUTE),
            JobEvent("job.started", NOW - SECOND),
            JobEvent("job.retrying", NOW, ERROR),
        ),
    )
    return {
        status.value: replace(queued, id=f"job_{status}", status=status, **more) for status, more in STATUSES.items()
    }


def calls() -> dict[str, Call[Any]]:
    """What writes every kind of item, by its name."""
    of = jobs()["succeeded"]
    endpoint = WebhookEndpoint(TENANT, "whe_recorded", "https://hooks.example.com/", EVENTS, NOW, "mine", failures=2)
    key = DeliveryKey(TENANT, of.id, of.created_at, "dlv_recorded")
    delivery = Delivery(
        key,
        "evt_recorded",
        "job.succeeded",
        endpoint.id,
        endpoint.url,
        b'{"type":"job.succeeded"}',
        created_at=NOW,
        keep_until=FAR,
        status=DeliveryStatus.PENDING,
        tries=1,
        due_at=NOW,
        attempts=(DeliveryAttempt(NOW, 12, 503, response="try later"),),
    )
    upload = UploadRecord(TENANT, "upl_recorded", "a.csv", "text/csv", 7, b"s" * 32, FAR, Multipart("m", 8 << 20))
    return {
        **{f"job-{name}": job_items.put_job("table", job, now=NOW) for name, job in jobs().items()},
        "endpoint": put_endpoint("table", endpoint),
        "delivery": put_delivery("table", delivery),
        "upload": put_upload("table", upload),
        "history": put_history_page("table", of),
        "api-key": put_key("table", ApiKey("key_recorded", b"s" * 32, TENANT, TENANT_SCOPES, NOW, "ci", FAR, NOW, NOW)),
        "artifacts": job_items.put_artifacts("table", of, [Blob(7, b"s" * 32, "image/png", "a.png")]),
    }


def recorded() -> dict[str, Any]:
    """Every item as it lies in the table, by its name, and every message."""
    found: dict[str, Any] = {}
    for name, call in calls().items():
        model = Model()
        ModelTransport(model, lambda: NOW).send(call)
        (found[name],) = model.table.items.values()
    key: dict[str, Any] = {
        "tenant": TENANT,
        "made": NOW - MINUTE,
        "delivery": "dlv_recorded",
        "endpoint": "whe_recorded",
    }
    messages = (JobMessage(tenant=TENANT, job="job_succeeded"), DeliveryMessage(of="job_succeeded", **key))
    return found | {"messages": [message.model_dump_json() for message in messages]}


def _plain(value: object) -> dict[str, str]:
    assert isinstance(value, bytes)
    return {"base64": base64.b64encode(value).decode()}


def main() -> None:
    """Write what is recorded into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    for name, item in recorded().items():
        text = json.dumps(item, default=_plain, indent=1, sort_keys=True)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

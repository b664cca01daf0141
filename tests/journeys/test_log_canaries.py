"""No secret, input or output is in any log: marked texts go every way that a client has, and are searched for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.journeys.up_process import Stack
from tests.journeys.webhook_receiver import WebhookReceiver, run_receiver
from tests.waiting import eventually


class Canaries:
    """Texts that say where they were put."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        """A new text for a place."""
        return self.made.setdefault(place, f"canary{secrets.token_hex(8)}")


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def client(front_door: Stack) -> Iterator[httpx.Client]:
    with front_door.client() as client:
        yield client


def test_what_clients_send_and_get_is_in_no_log(
    front_door: Stack, client: httpx.Client, receiver: WebhookReceiver
) -> None:
    canary, before = Canaries(), len(_logs(front_door))
    endpoint = _endpoint(client, receiver, canary)
    job = _succeeded(client, canary)
    failed = _submitted(client, "table.query", {"sql": f"SELECT {canary('failing input')} FROM nothing"})
    _ended(client, failed)
    canceled = _submitted(
        client, "demo.sleep", {"seconds": 60}, metadata={"note": canary("metadata of a canceled job")}
    )
    client.post(f"/v1/jobs/{canceled}/cancel").raise_for_status()
    _ended(client, canceled)
    eventually(lambda: len(client.get(f"/v1/jobs/{job}/deliveries").json()["data"]) > 0, 60)
    eventually(
        lambda: all(one["status"] == "delivered" for one in client.get(f"/v1/jobs/{job}/deliveries").json()["data"]), 60
    )
    _refused(client, canary)
    client.delete(f"/v1/jobs/{job}").raise_for_status()
    client.delete(f"/v1/webhook-endpoints/{endpoint}").raise_for_status()
    # `up` itself prints it when it starts
    canary.made["key"] = front_door.api_key

    eventually(lambda: _life(_logs(front_door), job)[-1:] == ["job.deleted"], 30)
    assert _life(_logs(front_door), job) == ["job.queued", "job.started", "job.succeeded", "job.deleted"]
    log = _logs(front_door)[before:]
    assert {place: text for place, text in canary.made.items() if text in log} == {}


def _endpoint(client: httpx.Client, receiver: WebhookReceiver, canary: Canaries) -> str:
    url = f"{receiver.url}/{canary('webhook path')}?{canary('webhook query')}=1"
    made = client.post("/v1/webhook-endpoints", json={"url": url, "description": canary("description")})
    made.raise_for_status()
    canary.made["webhook secret"] = made.json()["secret"]
    rotated = client.post(f"/v1/webhook-endpoints/{made.json()['id']}/rotate-secret")
    canary.made["webhook secret, rotated"] = rotated.raise_for_status().json()["secret"]
    return str(made.json()["id"])


def _succeeded(client: httpx.Client, canary: Canaries) -> str:
    """A job with an upload in and a result out, whose texts are marked."""
    content = f"word\n{canary('upload, and so the result')}\n".encode()
    upload = client.post(
        "/v1/uploads",
        json={"filename": f"{canary('filename')}.csv", "content_type": "text/csv", "size": len(content)},
    ).raise_for_status()
    httpx.put(upload.json()["url"], content=content, headers=upload.json()["headers"]).raise_for_status()
    canary.made["presigned URL"] = upload.json()["url"].partition("?")[2]
    job = _submitted(
        client,
        "table.query",
        {
            "sql": f"SELECT word, '{canary('input')}' AS mark FROM words",
            "tables": {"words": {"$upload": upload.json()["id"]}},
            "format": "csv",
        },
        headers={"Idempotency-Key": canary("idempotency key")},
        metadata={"note": canary("metadata")},
    )
    assert _ended(client, job) == "succeeded"
    result = client.get(f"/v1/jobs/{job}/result", follow_redirects=True)
    assert canary("upload, and so the result") in result.text
    return job


def _submitted(
    client: httpx.Client,
    job_type: str,
    given: dict[str, object],
    *,
    metadata: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> str:
    body = {"type": job_type, "input": given, "metadata": metadata or {}}
    return str(client.post("/v1/jobs", json=body, headers=headers).raise_for_status().json()["id"])


def _ended(client: httpx.Client, job: str) -> str:
    eventually(lambda: client.get(f"/v1/jobs/{job}").raise_for_status().json()["done"], 90)
    return str(client.get(f"/v1/jobs/{job}").json()["status"])


def _refused(client: httpx.Client, canary: Canaries) -> None:
    """Requests that are refused for what is in them."""
    bad_type = {"type": canary("type"), "input": {}}
    assert client.post("/v1/jobs", json=bad_type).status_code == 422
    assert client.post("/v1/jobs", content=f'{{"{canary("broken body")}').status_code in {400, 415, 422}
    wrong = {"Authorization": f"Bearer {canary('wrong key')}"}
    assert client.get("/v1/jobs", headers=wrong).status_code == 401
    traced = client.get("/v1/jobs", headers={"traceparent": canary("traceparent"), "User-Agent": canary("agent")})
    assert traced.status_code == 200


def _life(log: str, job: str) -> list[str]:
    """The actions of the audit log for a job, in their order, of lines in either format."""
    found = []
    for line in log.splitlines():
        if job not in line or "coatcheck.audit" not in line:
            continue
        if action := re.search(r'coatcheck\.audit: (job\.\w+)|"action":"(job\.\w+)"', line):
            found.append(action[1] or action[2])
    return found


def _logs(stack: Stack) -> str:
    return stack.log.read_text(errors="replace")

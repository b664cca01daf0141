"""Who goes the paths: a client of a stack, its operator, and the owner's hand on the stack's AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from coatcheck.core.aws.dynamodb.codec import decode_job, encode_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.settings import Settings
from coatcheck_infra.local.home import TENANT
from coatcheck_infra.local.resources import STACK, client, session
from coatcheck_infra.ops.target_deployment import from_stack
from tests.journeys.test_keys import keys
from tests.journeys.up_process import Stack
from tests.journeys.webhook_receiver import WebhookReceiver
from tests.waiting import eventually

WAIT = 40.0


"""Seconds that something may take."""


@dataclass(frozen=True)
class Traveller:
    """A client of a stack, with a receiver of webhooks, an operator, and the owner's hand on the stack's AWS."""

    stack: Stack
    http: httpx.Client
    receiver: WebhookReceiver
    settings: Settings
    operator: httpx.Client
    """An operator's, of the routes below `/v1/admin`."""

    def post(self, path: str, body: Any = None, status: int = 202, **headers: str) -> Any:
        """Send a request that has to be answered by this status; returns the body."""
        answer = self.http.post(path, json=body, headers=headers)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def get(self, path: str, status: int = 200, **query: Any) -> httpx.Response:
        """Ask, and get this status."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer

    def done(self, job_type: str, given: Any, status: str = "succeeded", **more: Any) -> str:
        """Submit a job and wait until it has ended in this way; returns its id."""
        job = str(self.post("/v1/jobs", {"type": job_type, "input": given, **more})["id"])
        self.until(lambda: self.get(f"/v1/jobs/{job}").json()["status"] == status, f"{job} is not {status}")
        return job

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for it."""
        eventually(reached, WAIT, lambda: what)

    def aws(self, service: str) -> Any:
        """A client with the owner's key."""
        return client(service, self.stack.aws_endpoint_url, self.stack.credentials)

    def rewrite(self, job: str, **changes: Any) -> None:
        """Change what the table says of a job."""
        dynamodb, table = self.aws("dynamodb"), self.settings.table
        key = JobKey(TENANT, job).item()
        item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
        dynamodb.put_item(TableName=table, Item=encode_job(replace(decode_job(item), **changes)))

    def sweep(self) -> None:
        """Have everything swept that is due, now."""
        functions = self.aws("lambda").list_functions()["Functions"]
        (sweeper,) = (one["FunctionName"] for one in functions if one["Handler"].endswith(".sweep"))
        answer = self.aws("lambda").invoke(FunctionName=sweeper, Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    def count(self, queue: str, name: str = "ApproximateNumberOfMessages") -> int:
        """How many messages a queue has, of the kind that an attribute counts."""
        found = self.aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"]
        return int(found[name])


@contextmanager
def traveller(stack: Stack, receiver: WebhookReceiver) -> Iterator[Traveller]:
    """A client of a stack, until the block ends."""
    found = from_stack(STACK, session(stack.credentials), stack.aws_endpoint_url)
    with stack.client() as http, _client_with(stack, "/v1/admin", "--operator") as operator:
        yield Traveller(stack, http, receiver, found.settings, operator)


@contextmanager
def as_new_tenant(one: Traveller, name: str, **limits: int) -> Iterator[Traveller]:
    """The traveller as a client of a tenant that has these limits from its first request on.

    Limits of a tenant that was seen before would take half a minute to be known everywhere.
    """
    answer = one.operator.put(f"/tenants/{name}/limits", json=limits)
    assert answer.status_code == 200, answer.text
    with _client_with(one.stack, "", name) as http:
        yield replace(one, http=http)


def _client_with(stack: Stack, path: str, *key: str) -> httpx.Client:
    created = json.loads(keys(stack, stack.home, "create", *key, "--json"))["key"]
    headers = {"Authorization": f"Bearer {created}"}
    return httpx.Client(base_url=f"{stack.url}{path}", headers=headers, timeout=60, trust_env=False)

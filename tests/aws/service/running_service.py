"""The service on a real port, on the stores of an emulator, seen by clients of tenants of their own."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import uvicorn

from coatcheck.authoring.types import Catalog
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.sqs import delete, receive
from coatcheck.core.clock import system_clock
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import SUCCEED, Transition
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck_infra.local import environment
from coatcheck_infra.local.resources import client
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN, FrontDoor
from tests.aws import emulators
from tests.example_jobs import CATALOG
from tests.transports import AsyncFaultyTransport
from tests.waiting import eventually

T = TypeVar("T")

CACHING = re.compile(r"no-store|private, (no-cache|max-age=\d+)|public, (no-cache|max-age=\d+)")
"""What every answer says of how it may be kept, whatever a test asks for."""


@dataclass(frozen=True)
class RunningService:
    """A service that runs, and the worker's door to its stores."""

    url: str
    spy: AsyncFaultyTransport
    worker: Transport
    settings: Settings
    endpoint_url: str

    def new_tenant(self) -> tuple[str, str]:
        """A tenant of its own, and a key that lets it in from now on: tests share an emulator without meeting."""
        key, tenant = secrets.token_hex(16), f"t-{secrets.token_hex(6)}"
        self.settings.api_keys[hashlib.sha256(key.encode()).hexdigest()] = tenant
        return tenant, key


@dataclass(frozen=True)
class Api:
    """What a test has of the service: clients of a tenant, of another and of nobody, and what is behind."""

    tenant: str
    http: httpx.Client
    other: httpx.Client
    anonymous: httpx.Client
    running_service: RunningService

    @property
    def spy(self) -> AsyncFaultyTransport:
        """The service's door to AWS."""
        return self.running_service.spy

    @property
    def url(self) -> str:
        """Where the service is."""
        return self.running_service.url

    def post(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """Hand in a `demo.sleep` that takes no time, or what `body` says instead."""
        return self.http.post("/v1/jobs", headers=headers, json={"type": "demo.sleep", "input": {"seconds": 0}} | body)

    def submit(self, **body: Any) -> dict[str, Any]:
        """As `post`; the view of the job that was made."""
        answer = self.post(**body)
        assert answer.status_code == 202, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def row(self, job_id: str) -> Job:
        """The job as the table has it."""
        job = self.running_service.worker.send(
            job_items.get_job(self.running_service.settings.table, JobKey(self.tenant, job_id))
        )
        assert job is not None
        return job

    def overwrite(self, job: Job) -> None:
        """Make the row what `job` is."""
        dynamodb = client("dynamodb", self.running_service.endpoint_url)
        dynamodb.put_item(TableName=self.running_service.settings.table, Item=encode_job(job))

    def claim(self, job_id: str) -> Job:
        """What a worker does first."""
        table, key = self.running_service.settings.table, JobKey(self.tenant, job_id)
        claimed = self.running_service.worker.send(
            transitions.claim(table, key, now=system_clock(), lease=60_000, owner="test")
        )
        assert isinstance(claimed, Job)
        return claimed

    def settle(
        self,
        job: Job,
        transition: Transition = SUCCEED,
        *,
        result: Blob | None = None,
        error: JobError | None = None,
        artifact_count: int = 0,
    ) -> Job:
        """What a worker does last."""
        settled = self.running_service.worker.send(
            transitions.settle(
                self.running_service.settings.table,
                job,
                transition,
                now=system_clock(),
                result=result,
                error=error,
                artifact_count=artifact_count,
            )
        )
        assert isinstance(settled, Job)
        return settled

    def finished(self, **body: Any) -> Job:
        """A job that has succeeded, with a small result of JSON."""
        return self.settle(self.claim(self.submit(**body)["id"]), result=Blob.of(b'{"slept":0}', JSON))

    def messages(self, lane: str = "default") -> list[JobMessage]:
        """Take this tenant's messages about jobs from the queue of a lane; all others are dropped."""
        found = [JobMessage.parse(body) for body in self._bodies(lane) if "job" in json.loads(body)]
        return [message for message in found if message.tenant == self.tenant]

    def delivery_messages(self) -> list[DeliveryMessage]:
        """Take this tenant's messages about deliveries; all others of that queue are dropped."""
        found = [DeliveryMessage.parse(body) for body in self._bodies(WEBHOOKS) if "delivery" in json.loads(body)]
        return [message for message in found if message.tenant == self.tenant]

    def _bodies(self, lane: str) -> list[str]:
        found = []
        queue = self.running_service.settings.queues[lane]
        while received := self.running_service.worker.send(receive(queue, wait=0, limit=10)):
            found += [message.body for message in received]
            for message in received:
                self.running_service.worker.send(delete(message))
        return found

    def stored(self, prefix: str) -> list[str]:
        """The keys of the bucket under a prefix."""
        listed = self.s3.list_objects_v2(Bucket=self.running_service.settings.bucket, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def put(self, key: str, body: bytes) -> None:
        """Put an object into the bucket."""
        self.s3.put_object(Bucket=self.running_service.settings.bucket, Key=key, Body=body)

    @property
    def s3(self) -> Any:
        """A plain client of the emulator's S3."""
        return client("s3", self.running_service.endpoint_url)


@contextmanager
def run_service(
    stores: Settings,
    worker: Transport,
    endpoint_url: str,
    *,
    front_door: FrontDoor = UVICORN,
    catalog: Catalog = CATALOG,
    clock: Callable[[], int] = system_clock,
) -> Iterator[RunningService]:
    """The service under uvicorn on a free port until the block ends, with queues and tenants of its own."""
    settings = stores.model_copy(update={"queues": _make_queues(endpoint_url, list(stores.queues)), "api_keys": {}})
    spy = AsyncFaultyTransport(emulators.connect_async(endpoint_url))
    with served(create_app(settings, catalog, spy, front_door, clock=clock)) as url:
        yield RunningService(url, spy, worker, settings, endpoint_url)


@contextmanager
def clients_of(running_service: RunningService) -> Iterator[Api]:
    """Clients of two new tenants and of nobody, of a service whose door breaks nothing."""
    spy = running_service.spy
    spy.calls.clear()
    spy.faults.clear()
    tenant, key = running_service.new_tenant()
    _, other_key = running_service.new_tenant()
    with ExitStack() as stack:
        http, other, anonymous = (
            stack.enter_context(_client(running_service.url, headers))
            for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {other_key}"}, {})
        )
        yield Api(tenant, http, other, anonymous, running_service)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    reply: dict[str, Any] = answer.json()
    assert (reply["status"], reply["code"]) == (status, code)
    assert reply["type"].endswith(f"/problems/{code}")
    assert reply["request_id"] == answer.headers["x-request-id"]
    return reply


def _make_queues(endpoint_url: str, lanes: list[str]) -> dict[str, str]:
    sqs = client("sqs", endpoint_url)
    names = {lane: f"{lane}-{secrets.token_hex(6)}" for lane in lanes}
    made = {lane: sqs.create_queue(QueueName=name)["QueueUrl"] for lane, name in names.items()}
    return {lane: f"{endpoint_url}/{url.split('/', 3)[3]}" for lane, url in made.items()}


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an app in a thread until the block ends; yields its URL."""
    listener = socket.create_server((environment.LOOPBACK, 0), backlog=512)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        yield f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _client(url: str, headers: dict[str, str]) -> httpx.Client:
    def check(answer: httpx.Response) -> None:
        if str(answer.url).startswith(url):
            assert CACHING.fullmatch(answer.headers["cache-control"]), answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"

    return httpx.Client(
        base_url=url,
        headers=headers,
        timeout=60,
        trust_env=False,
        limits=httpx.Limits(max_connections=None),
        event_hooks={"response": [check]},
    )

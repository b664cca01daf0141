"""The service on a real port, on the stores of an emulator, seen by clients of tenants of their own."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aioboto3  # type: ignore[import-untyped]
import httpx
import uvicorn

from coatcheck.calls import AwsUnavailable, Call, Presign, Signed
from coatcheck.deployment import WEBHOOKS, Deployment
from coatcheck.lifecycle import SUCCEED, Move
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import delete, receive
from coatcheck.record import JSON, Blob, Job, JobError
from coatcheck.table import items, moves
from coatcheck.table.codec import encode_job
from coatcheck.table.keys import JobKey
from coatcheck.types import Catalog
from infra.embedded import environment
from infra.embedded.stack import client
from jobs.catalog import CATALOG
from service.app import create_app
from service.aws import AioBoto
from service.front_door import UVICORN, FrontDoor
from service.tools import system_clock
from worker.aws import Boto

T = TypeVar("T")

CACHING = re.compile(r"no-store|private, (no-cache|max-age=\d+)|public, (no-cache|max-age=\d+)")
"""What every answer says of how it may be kept, whatever a test asks for."""


@dataclass
class Spy:
    """The door to AWS, which notes every call.

    It breaks the operations in `breaks`, and sends those in `repeats` twice, as the SDK does when a reply is lost.
    Before the first of an operation in `between`, or before the first is sent again (`meanwhile`), something happens
    that nobody expects. What goes out is what
    `changes` makes of a call.
    """

    door: AioBoto
    sent: list[Call[Any]] = field(default_factory=list)
    breaks: set[str] = field(default_factory=set)
    repeats: set[str] = field(default_factory=set)
    between: dict[str, Callable[[], object]] = field(default_factory=dict)
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
    changes: Callable[[Call[Any]], Call[Any]] = lambda call: call

    async def send(self, call: Call[T]) -> T:
        self.sent.append(call)
        self.between.pop(call.operation, lambda: None)()
        if call.operation in self.breaks:
            raise AwsUnavailable(call, "ThrottlingException")
        sent: Call[T] = self.changes(call)
        if call.operation in self.repeats:
            await self.door.send(sent)
            self.meanwhile.pop(call.operation, lambda: None)()
        return await self.door.send(sent)

    async def presign(self, presign: Presign) -> Signed:
        return await self.door.presign(presign)

    async def aclose(self) -> None:
        await self.door.aclose()

    @property
    def operations(self) -> list[str]:
        """The names of the calls that were sent."""
        return [call.operation for call in self.sent]


@dataclass(frozen=True)
class Stage:
    """A service that runs, and the worker's door to its stores."""

    url: str
    spy: Spy
    worker: Boto
    deployment: Deployment

    def new_tenant(self) -> tuple[str, str]:
        """A tenant of its own, and a key that lets it in from now on: tests share an emulator without meeting."""
        key, tenant = secrets.token_hex(16), f"t-{secrets.token_hex(6)}"
        self.deployment.api_keys[hashlib.sha256(key.encode()).hexdigest()] = tenant
        return tenant, key


@dataclass(frozen=True)
class Api:
    """What a test has of the service: clients of a tenant, of another and of nobody, and what is behind."""

    tenant: str
    http: httpx.Client
    other: httpx.Client
    nobody: httpx.Client
    stage: Stage

    @property
    def spy(self) -> Spy:
        """The service's door to AWS."""
        return self.stage.spy

    @property
    def url(self) -> str:
        """Where the service is."""
        return self.stage.url

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
        job = self.stage.worker.send(items.get_job(self.stage.deployment.table, JobKey(self.tenant, job_id)))
        assert job is not None
        return job

    def overwrite(self, job: Job) -> None:
        """Make the row what `job` is."""
        dynamodb = client("dynamodb", self.spy.door.endpoint_url or "")
        dynamodb.put_item(TableName=self.stage.deployment.table, Item=encode_job(job))

    def claim(self, job_id: str) -> Job:
        """What a worker does first."""
        table, key = self.stage.deployment.table, JobKey(self.tenant, job_id)
        claimed = self.stage.worker.send(moves.claim(table, key, now=system_clock(), lease=60_000, owner="test"))
        assert isinstance(claimed, Job)
        return claimed

    def settle(
        self,
        job: Job,
        move: Move = SUCCEED,
        *,
        result: Blob | None = None,
        error: JobError | None = None,
        artifact_count: int = 0,
    ) -> Job:
        """What a worker does last."""
        settled = self.stage.worker.send(
            moves.settle(
                self.stage.deployment.table,
                job,
                move,
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
        queue = self.stage.deployment.queues[lane]
        while received := self.stage.worker.send(receive(queue, wait=0, limit=10)):
            found += [message.body for message in received]
            for message in received:
                self.stage.worker.send(delete(message))
        return found

    def stored(self, prefix: str) -> list[str]:
        """The keys of the bucket under a prefix."""
        listed = self.s3.list_objects_v2(Bucket=self.stage.deployment.bucket, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def put(self, key: str, body: bytes) -> None:
        """Put an object into the bucket."""
        self.s3.put_object(Bucket=self.stage.deployment.bucket, Key=key, Body=body)

    @property
    def s3(self) -> Any:
        """A plain client of the emulator's S3."""
        return client("s3", self.spy.door.endpoint_url or "")


@contextmanager
def staged(
    stores: Deployment,
    worker: Boto,
    endpoint_url: str,
    *,
    front_door: FrontDoor = UVICORN,
    catalog: Catalog = CATALOG,
    clock: Callable[[], int] = system_clock,
) -> Iterator[Stage]:
    """The service under uvicorn on a free port until the block ends, with queues and tenants of its own."""
    settings = stores.model_copy(update={"queues": _make_queues(endpoint_url, list(stores.queues)), "api_keys": {}})
    spy = Spy(_door(endpoint_url))
    with _served(create_app(settings, catalog, spy, front_door, clock=clock)) as url:
        yield Stage(url, spy, worker, settings)


@contextmanager
def visited(stage: Stage) -> Iterator[Api]:
    """Clients of two new tenants and of nobody, of a service whose door breaks nothing."""
    spy = stage.spy
    for noted in (spy.sent, spy.breaks, spy.repeats, spy.between, spy.meanwhile):
        noted.clear()
    tenant, key = stage.new_tenant()
    _, other_key = stage.new_tenant()
    with ExitStack() as stack:
        http, other, nobody = (
            stack.enter_context(_client(stage.url, headers))
            for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"Bearer {other_key}"}, {})
        )
        yield Api(tenant, http, other, nobody, stage)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert (told["status"], told["code"]) == (status, code)
    assert told["type"].endswith(f"/problems/{code}")
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


def until(condition: Callable[[], T], *, seconds: float = 20) -> T:
    """What `condition` answers once it is true. Fails when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not so after {seconds:g} s"
        time.sleep(0.01)
    return found


def _door(endpoint_url: str) -> AioBoto:
    session = aioboto3.Session(environment.ACCESS_KEY, environment.SECRET_KEY, region_name=environment.REGION)
    return AioBoto(endpoint_url, session)


def _make_queues(endpoint_url: str, lanes: list[str]) -> dict[str, str]:
    sqs = client("sqs", endpoint_url)
    names = {lane: f"{lane}-{secrets.token_hex(6)}" for lane in lanes}
    made = {lane: sqs.create_queue(QueueName=name)["QueueUrl"] for lane, name in names.items()}
    return {lane: f"{endpoint_url}/{url.split('/', 3)[3]}" for lane, url in made.items()}


@contextmanager
def _served(app: Any) -> Iterator[str]:
    listener = socket.create_server((environment.LOOPBACK, 0), backlog=512)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
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

"""Where the kill tests play: an emulator, and the rows and queues that stand there before anything is killed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import boto3

from coatcheck import blobs, due, pack
from coatcheck.deployment import PREFIX, Deployment
from coatcheck.ids import make_id
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import delete, receive, send_delivery, send_job
from coatcheck.record import Blob, Job
from coatcheck.table import items, moves
from coatcheck.table.keys import JobKey
from coatcheck.table.webhooks import list_deliveries, put_endpoint
from coatcheck.webhooks import EVENTS, Delivery, Endpoint
from infra.embedded import environment
from infra.embedded.processes import ROOT
from service.aws import AioBoto
from tests.aws import emulators
from tests.kill.work import WORK, Deed
from tests.rows import a_job
from worker.aws import Boto
from worker.tools import system_clock
from worker.webhooks.inbox import parse

LANE = "default"
VISIBILITY = "5400"
ENDS = EVENTS[1:]

KEPT_IN_ROW = 384
"""Bytes of an input that goes into the row here."""
"""The events that end a job."""


@dataclass(frozen=True)
class Ground:
    """An emulator with the template's stores, and a door to it. The sessions have read the SDK's models already."""

    url: str
    deployment: Deployment
    session: boto3.Session
    async_session: aioboto3.Session
    aws: Boto
    sqs: Any
    scratch: Path
    receiver: str
    subscribed: set[str] = field(default_factory=set)

    def connect(self) -> Boto:
        """A door of one's own."""
        return Boto(self.session, endpoint_url=self.url)

    def connect_async(self) -> AioBoto:
        """A service's door of one's own."""
        return AioBoto(self.url, self.async_session)

    def environment(self, **changes: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process that works here; `changes` are fields of the deployment."""
        settings = self.deployment.model_dump() | changes
        told = {
            f"{PREFIX}{name.upper()}": json.dumps(value) if isinstance(value, Mapping) else str(value)
            for name, value in settings.items()
        }
        return environment.of_parts(os.environ, self.scratch, self.url) | told

    def new_queue(self) -> str:
        """A queue of one's own."""
        name = f"{LANE}-{secrets.token_hex(6)}"
        made = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": VISIBILITY})
        return f"{self.url}/{made['QueueUrl'].split('/', 3)[3]}"

    def send(self, queue: str, job: Job) -> None:
        """A message that says: look at this job."""
        self.aws.send(send_job(queue, JobMessage(tenant=job.tenant, job=job.id)))

    def pour(self, source: str, lane: str) -> None:
        """Hand the messages that can be received from `source` now on to the deployment's own queue of a lane."""
        while found := self.aws.send(receive(source, wait=0, limit=10)):
            for received in found:
                message = parse(received.body)
                if isinstance(message, DeliveryMessage):
                    self.aws.send(send_delivery(self.deployment.queues[lane], message))
                else:
                    self.aws.send(send_job(self.deployment.queues[lane], message))
                self.aws.send(delete(received))

    def subscribe(self, tenant: str) -> None:
        """An endpoint of the tenant that wants to be told of every end of a job."""
        made = make_id("whe", secrets.token_bytes(16))
        endpoint = Endpoint(tenant, made, self.receiver, ENDS, system_clock())
        assert self.aws.send(put_endpoint(self.deployment.table, endpoint))
        self.subscribed.add(tenant)

    def deliveries(self, job: Job) -> Sequence[Delivery]:
        """What was made of the job's events."""
        listed = list_deliveries(self.deployment.table, job.tenant, job.id, made=job.created_at, limit=100)
        return self.aws.send(listed).deliveries

    def arrived(self) -> list[tuple[str, str]]:
        """The ids of all webhooks that have arrived, each with the sha256 of its body."""
        notes = _arrivals(self.scratch)
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [(event, digest) for event, digest in map(str.split, lines)]

    def row(self, key: JobKey) -> Job | None:
        """The job as it is now."""
        return self.aws.send(items.get_job(self.deployment.table, key))

    def put(self, tenant: str, deed: Deed, **changes: object) -> Job:
        """The row of a queued job that is to do `deed`, as a submit makes it, but for `changes`."""
        now = system_clock()
        text = pack.to_json(deed.model_dump())
        large = len(text) > KEPT_IN_ROW
        job = a_job(
            now=now,
            tenant=tenant,
            id=make_id("job", secrets.token_bytes(16)),
            type=WORK.name,
            lane=LANE,
            max_attempts=WORK.max_attempts,
            timeout=round(WORK.timeout * 1000),
            input=blob(text, inline=not large),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
        )
        if tenant in self.subscribed:
            job = replace(job, notify=ENDS, base_url="https://jobs.example")
        job = replace(job, **changes)  # type: ignore[arg-type]
        if large:
            self.store(blobs.input_key(job), text)
        assert self.aws.send(items.put_job(self.deployment.table, job, now=now)) is None
        return job

    def store(self, key: str, content: bytes) -> None:
        """An object in the bucket."""
        sha256 = hashlib.sha256(content).digest()
        kind = "application/octet-stream"
        self.aws.send(blobs.put(self.deployment.bucket, key, content, content_type=kind, sha256=sha256))

    def claim(self, job: Job, *, ago: int, lease: int) -> Job:
        """The job as a worker holds it, that claimed it `ago` milliseconds ago and was not heard of since."""
        claim = moves.claim(
            self.deployment.table, JobKey(job.tenant, job.id), now=system_clock() - ago, lease=lease, owner="lost"
        )
        claimed = self.aws.send(claim)
        assert isinstance(claimed, Job)
        return claimed


def blob(content: bytes, *, inline: bool, filename: str | None = None) -> Blob:
    """What a row says of some bytes."""
    digest = hashlib.sha256(content).digest()
    return Blob(len(content), digest, "application/octet-stream", filename, inline=content if inline else None)


@contextmanager
def ground(scratch: Path, *, lease: int) -> Iterator[Ground]:
    """MiniStack with the template's stores, for workers whose lease is so many seconds."""
    with emulators.ministack(scratch) as url:
        changes = {"lease": lease, "webhook_targets": "local"}
        deployment = emulators.deployment_on(url).model_copy(update=changes)
        credentials = (environment.ACCESS_KEY, environment.SECRET_KEY, None, environment.REGION)
        session, async_session = boto3.Session(*credentials), aioboto3.Session(*credentials)
        aws, sqs = Boto(session, endpoint_url=url), session.client("sqs", endpoint_url=url)
        with _receiver(scratch) as receiver:
            made = Ground(url, deployment, session, async_session, aws, sqs, scratch, receiver)
            asyncio.run(_read_models(made.connect_async()))
            yield made


@contextmanager
def _receiver(scratch: Path) -> Iterator[str]:
    """The one receiver of all webhooks; gives its URL."""
    command = [sys.executable, "-m", "tests.kill.receiver", str(_arrivals(scratch))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://{environment.LOOPBACK}:{int(process.stdout.readline())}/hook"
        finally:
            process.terminate()


def _arrivals(scratch: Path) -> Path:
    return scratch / "arrived.log"


async def _read_models(door: AioBoto) -> None:
    await door.open()
    await door.aclose()

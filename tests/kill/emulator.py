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

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import due, pack
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.webhook_items import list_deliveries, put_endpoint
from coatcheck.core.aws.sqs import delete, receive, send_delivery, send_job
from coatcheck.core.clock import system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import Blob, Job
from coatcheck.core.messages import DeliveryMessage, JobMessage, parse_webhook_message
from coatcheck.core.settings import PREFIX, Settings
from coatcheck.core.webhooks import EVENTS, Delivery, WebhookEndpoint
from coatcheck_infra.local import environment
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_worker.boto_transport import BotoTransport
from tests.aws import emulators
from tests.job_rows import make_job
from tests.kill.job_type import TABLE, KillInput, work
from tests.repository import ROOT

LANE = "default"
VISIBILITY = "5400"
ENDS = EVENTS[1:]

KEPT_IN_ROW = 384
"""Bytes of an input that goes into the row here."""
"""The events that end a job."""


@dataclass(frozen=True)
class Emulator:
    """An emulator with the template's stores, and a door to it. The sessions have read the SDK's models already."""

    url: str
    settings: Settings
    session: boto3.Session
    async_session: aioboto3.Session
    aws: Transport
    sqs: Any
    scratch: Path
    receiver: str
    subscribed: set[str] = field(default_factory=set)

    def connect(self) -> BotoTransport:
        """A door of one's own."""
        return BotoTransport(self.session, endpoint_url=self.url)

    def connect_async(self) -> AioBotoTransport:
        """A service's door of one's own."""
        return AioBotoTransport(self.url, self.async_session)

    def environment(self, **changes: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process that works here; `changes` are fields of the deployment."""
        settings = self.settings.model_dump(exclude_none=True) | changes
        variables = {
            f"{PREFIX}{name.upper()}": json.dumps(value) if isinstance(value, Mapping) else str(value)
            for name, value in settings.items()
        }
        return {
            **environment.child_environment(os.environ, self.scratch, self.url),
            **variables,
            TABLE: self.settings.table,
        }

    def new_queue(self) -> str:
        """A queue of one's own."""
        name = f"{LANE}-{secrets.token_hex(6)}"
        made = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": VISIBILITY})
        return f"{self.url}/{made['QueueUrl'].split('/', 3)[3]}"

    def send(self, queue: str, job: Job) -> None:
        """A message that says: look at this job."""
        self.aws.send(send_job(queue, JobMessage(tenant=job.tenant, job=job.id)))

    def forward(self, source: str, lane: str) -> None:
        """Hand the messages that can be received from `source` now on to the deployment's own queue of a lane."""
        while found := self.aws.send(receive(source, wait=0, limit=10)):
            for received in found:
                message = parse_webhook_message(received.body)
                if isinstance(message, DeliveryMessage):
                    self.aws.send(send_delivery(self.settings.queues[lane], message))
                else:
                    self.aws.send(send_job(self.settings.queues[lane], message))
                self.aws.send(delete(received))

    def subscribe(self, tenant: str) -> None:
        """An endpoint of the tenant that wants to be told of every end of a job."""
        made = make_id("whe", secrets.token_bytes(16))
        endpoint = WebhookEndpoint(tenant, made, self.receiver, ENDS, system_clock())
        assert self.aws.send(put_endpoint(self.settings.table, endpoint))
        self.subscribed.add(tenant)

    def deliveries(self, job: Job) -> Sequence[Delivery]:
        """What was made of the job's events."""
        listed = list_deliveries(self.settings.table, job.tenant, job.id, made=job.created_at, limit=100)
        return self.aws.send(listed).deliveries

    def arrived(self) -> list[tuple[str, str]]:
        """The ids of all webhooks that have arrived, each with the sha256 of its body."""
        notes = _arrivals(self.scratch)
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [(event, digest) for event, digest in map(str.split, lines)]

    def row(self, key: JobKey) -> Job | None:
        """The job as it is now."""
        return self.aws.send(job_items.get_job(self.settings.table, key))

    def put(self, tenant: str, kill_input: KillInput, **changes: object) -> Job:
        """The row of a queued job that is to do `kill_input`, as a submit makes it, but for `changes`."""
        now = system_clock()
        text = pack.to_json(kill_input.model_dump())
        large = len(text) > KEPT_IN_ROW
        job = make_job(
            now=now,
            tenant=tenant,
            id=make_id("job", secrets.token_bytes(16)),
            type=work.name,
            lane=LANE,
            max_attempts=work.max_attempts,
            timeout=round(work.timeout * 1000),
            input=blob(text, inline=not large),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
        )
        if tenant in self.subscribed:
            job = replace(job, notify=ENDS, base_url="https://jobs.example")
        job = replace(job, **changes)  # type: ignore[arg-type]
        if large:
            self.store(s3_keys.input_key(job), text)
        assert self.aws.send(job_items.put_job(self.settings.table, job, now=now)) is None
        return job

    def store(self, key: str, content: bytes) -> None:
        """An object in the bucket."""
        sha256 = hashlib.sha256(content).digest()
        kind = "application/octet-stream"
        self.aws.send(s3.put(self.settings.bucket, key, content, content_type=kind, sha256=sha256))

    def claim(self, job: Job, *, ago: int, lease: int) -> Job:
        """The job as a worker holds it, that claimed it `ago` milliseconds ago and was not heard of since."""
        claim = transitions.claim(
            self.settings.table, JobKey(job.tenant, job.id), now=system_clock() - ago, lease=lease, owner="lost"
        )
        claimed = self.aws.send(claim)
        assert isinstance(claimed, Job)
        return claimed


def blob(content: bytes, *, inline: bool, filename: str | None = None) -> Blob:
    """What a row says of some bytes."""
    digest = hashlib.sha256(content).digest()
    return Blob(len(content), digest, "application/octet-stream", filename, inline=content if inline else None)


@contextmanager
def emulator(scratch: Path, *, lease: int) -> Iterator[Emulator]:
    """MiniStack with the template's stores, for workers whose lease is so many seconds."""
    with emulators.ministack(scratch) as url:
        changes = {"lease": lease, "webhook_targets": "local"}
        settings = emulators.deployment_on(url).model_copy(update=changes)
        credentials = (environment.ACCESS_KEY, environment.SECRET_KEY, None, environment.REGION)
        session, async_session = boto3.Session(*credentials), aioboto3.Session(*credentials)
        aws, sqs = BotoTransport(session, endpoint_url=url), session.client("sqs", endpoint_url=url)
        with _receiver(scratch) as receiver:
            made = Emulator(url, settings, session, async_session, aws, sqs, scratch, receiver)
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


async def _read_models(transport: AioBotoTransport) -> None:
    await transport.open()
    await transport.aclose()

"""Where the kill tests play: an emulator, and the rows and queues that stand there before anything is killed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import boto3

from coatcheck import blobs, due, pack
from coatcheck.clock import DAY
from coatcheck.deployment import PREFIX, Deployment
from coatcheck.ids import make_id
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.queues import delete, receive, send_job
from coatcheck.record import Blob, Event, Job
from coatcheck.table import items, moves
from coatcheck.table.keys import DUE_SHARDS, JobKey, due_shard
from infra.embedded import environment
from service.aws import AioBoto
from tests.aws import emulators
from tests.kill.work import WORK, Deed
from worker.aws import Boto
from worker.sink import INLINE_LIMIT
from worker.tools import system_clock

LANE = "default"
VISIBILITY = "5400"


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

    def pour(self, source: str) -> None:
        """Hand the messages that can be received from `source` now on to the deployment's own queue."""
        while found := self.aws.send(receive(source, wait=0, limit=10)):
            for received in found:
                message = JobMessage.parse(received.body)
                self.aws.send(send_job(self.deployment.queues[LANE], message))
                self.aws.send(delete(received))

    def row(self, key: JobKey) -> Job | None:
        """The job as it is now."""
        return self.aws.send(items.get_job(self.deployment.table, key))

    def put(self, tenant: str, deed: Deed, **changes: object) -> Job:
        """The row of a queued job that is to do `deed`, as a submit makes it, but for `changes`."""
        now = system_clock()
        text = pack.to_json(deed.model_dump())
        large = len(text) > INLINE_LIMIT
        job = Job(
            tenant=tenant,
            id=_id_in_the_first_shard(),
            type=WORK.name,
            lane=LANE,
            status=Status.QUEUED,
            version=1,
            created_at=now,
            updated_at=now,
            attempt=0,
            max_attempts=WORK.max_attempts,
            timeout=round(WORK.timeout * 1000),
            retention=DAY,
            digest=b"d" * 32,
            input=blob(text, inline=not large),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
            history=(Event("job.queued", now),),
        )
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


def _id_in_the_first_shard() -> str:
    """An id that the sweeper meets first: what it asks of the other shards comes when its work is done."""
    while True:
        made = make_id("job", secrets.token_bytes(16))
        if due_shard(made) == DUE_SHARDS[0]:
            return made


@contextmanager
def ground(scratch: Path, *, lease: int) -> Iterator[Ground]:
    """MiniStack with the template's stores, for workers whose lease is so many seconds."""
    with emulators.ministack(scratch) as url:
        deployment = emulators.deployment_on(url).model_copy(update={"lease": lease})
        credentials = (environment.ACCESS_KEY, environment.SECRET_KEY, None, environment.REGION)
        session, async_session = boto3.Session(*credentials), aioboto3.Session(*credentials)
        aws, sqs = Boto(session, endpoint_url=url), session.client("sqs", endpoint_url=url)
        made = Ground(url, deployment, session, async_session, aws, sqs, scratch)
        asyncio.run(_read_models(made.connect_async()))
        yield made


async def _read_models(door: AioBoto) -> None:
    await door.open()
    await door.aclose()

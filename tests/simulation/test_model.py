"""The model of AWS answers as the emulators do, call by call, on generated sequences of the kernel's own calls."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3, sqs
from coatcheck.core.aws.call import AwsError, Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions, usage_items
from coatcheck.core.aws.dynamodb.due_index import DuePage, due_jobs
from coatcheck.core.aws.dynamodb.history import earlier_events, put_history_page
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.usage_items import Demand
from coatcheck.core.clock import DAY, SECOND, system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job, JobError, Progress
from coatcheck.core.lifecycle import FAIL, SUCCEED, TIME_OUT, Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import Settings
from coatcheck.core.shards import ShardKind
from coatcheck.core.tallies import Count, Tally
from coatcheck.core.token_bucket import TokenBucket
from tests.job_rows import NOW, make_job
from tests.simulation.model import Model, ModelTransport

ERROR = JobError("worker-lost", "gone")
CALLS = 300

Make = Callable[[random.Random, str, Job], Call[Any]]


@pytest.fixture
def model() -> ModelTransport:
    """The model, empty."""
    return ModelTransport(Model(), system_clock)


@pytest.mark.parametrize("seed", range(3))
def test_dynamodb(seed: int, model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    chance = random.Random(seed)
    known: list[Job] = [_new_job(chance, tenant) for _ in range(4)]
    moved = 0
    for number in range(CALLS):
        # mostly a row that was there a moment ago, so that moves are made; at times one of long ago
        job = chance.choice(known[-6:] if chance.random() < 0.8 else known)
        call = chance.choice(_TABLE_CALLS)(chance, settings.table, job)
        expected, got = _both(aws, model, call, tenant)
        assert got == expected, f"call {number}: {call.operation} {call.params}"
        if isinstance(got, Job):
            known.append(got)
            moved += 1
    assert moved > CALLS / 20, "a sequence in which nothing happens shows nothing"


def _both(aws: Transport, model: Transport, call: Call[Any], tenant: str) -> tuple[Any, Any]:
    return _answer(aws, call, tenant), _answer(model, call, tenant)


def _answer(transport: Transport, call: Call[Any], tenant: str) -> Any:
    try:
        answer = transport.send(call)
    except AwsError as error:
        return type(error), error.code
    if isinstance(answer, job_items.JobBatch):
        return sorted(answer.jobs, key=lambda job: job.id), answer.unprocessed
    if isinstance(answer, job_items.JobPage):
        # DynamoDB may say that there is more where a page ends with the last entry
        return answer.entries
    if isinstance(answer, DuePage):
        # the order of those that are due at one time is DynamoDB's own
        return sorted((key.id for key in answer.keys if key.tenant == tenant), key=str), answer.next is not None
    return answer


def _time(chance: random.Random) -> int:
    return NOW + chance.randint(0, 100) * SECOND


def _blob(chance: random.Random) -> Blob:
    return Blob.of(chance.randbytes(4), JSON)


def _new_job(chance: random.Random, tenant: str) -> Job:
    at = _time(chance)
    status = chance.choice([*Status, Status.QUEUED, Status.RUNNING, Status.RUNNING])
    return make_job(
        now=at,
        tenant=tenant,
        id=make_id("job", chance.randbytes(16)),
        type="sim.job",
        status=status,
        attempt=chance.randint(0, 2),
        max_attempts=chance.randint(1, 6),
        retention=chance.choice((1, 60)) * SECOND,
        digest=chance.randbytes(32),
        input=_blob(chance),
        due_at=None if status.final else at,
        expires_at=at if status.final else None,
        start_at=chance.choice((None, at)),
        queue_deadline=chance.choice((None, at)),
        lease_until=chance.choice((None, at)),
        # one that nobody else's jobs are in
        due_shard=ShardKind.DUE.shard(zlib.crc32(tenant.encode())),
        metadata=chance.choice(({}, {"a": "b"})),
    )


def _key(job: Job) -> JobKey:
    return JobKey(job.tenant, job.id)


_TABLE_CALLS: Sequence[Make] = (
    lambda c, t, job: job_items.put_job(t, job, now=_time(c)),
    lambda c, t, job: job_items.put_job(t, _new_job(c, job.tenant), now=_time(c)),
    lambda c, t, job: transitions.release(t, _key(job), now=_time(c)),
    lambda c, t, job: transitions.claim(t, _key(job), now=_time(c), lease=20 * SECOND, owner=c.randbytes(4).hex()),
    lambda c, t, job: transitions.renew_lease(
        t, job, now=_time(c), lease=20 * SECOND, progress=c.choice((None, Progress(0.25)))
    ),
    lambda c, t, job: transitions.retry(t, job, now=_time(c), start_at=_time(c), error=ERROR, sweeper=c.random() < 0.5),
    lambda c, t, job: transitions.continue_later(t, job, now=_time(c), checkpoint=_blob(c)),
    lambda c, t, job: transitions.settle(
        t, job, SUCCEED, now=_time(c), result=_blob(c), artifact_count=c.randint(0, 2)
    ),
    lambda c, t, job: transitions.settle(
        t, job, c.choice((FAIL, TIME_OUT)), now=_time(c), error=ERROR, sweeper=c.random() < 0.5
    ),
    lambda c, t, job: transitions.cancel_waiting(t, job, now=_time(c), error=ERROR),
    lambda c, t, job: transitions.request_cancel(t, job, now=_time(c)),
    lambda c, t, job: transitions.cancel(t, job, now=_time(c), error=ERROR, sweeper=c.random() < 0.5),
    lambda c, t, job: transitions.expire(t, job, now=_time(c), error=ERROR),
    lambda c, t, job: job_updates.postpone(t, job, due_at=c.choice((None, NOW)), dispatches=c.randint(0, 3)),
    lambda c, t, job: (
        job_updates.purge_job(t, job, now=_time(c)) if c.random() < 0.2 else job_items.get_job(t, _key(job))
    ),
    lambda c, t, job: put_history_page(t, replace(job, history_from=c.choice((1, 2, 14)))),
    lambda c, t, job: earlier_events(t, replace(job, history_from=15), since=c.choice((1, 2, 14))),
    lambda c, t, job: job_items.put_artifacts(t, job, [_blob(c)], more_legs=c.random() < 0.5),
    lambda c, t, job: c.choice((job_items.get_artifacts, job_items.list_artifacts, job_items.artifact_list_keys))(
        t, job
    ),
    lambda _, t, job: job_items.get_jobs(t, list({_key(job), JobKey(job.tenant, "job_none")})),
    lambda c, t, job: job_items.list_jobs(
        t, job.tenant, limit=c.randint(1, 5), after=c.choice((None, job_items.JobListEntry(_key(job), job.created_at)))
    ),
    lambda c, t, job: job_items.list_jobs(
        t, job.tenant, limit=50, created_from=(at := _time(c)), created_until=at + 9999
    ),
    lambda c, t, job: due_jobs(t, job.due_shard, now=_time(c), limit=1000),
    lambda c, t, job: usage_items.charge(t, job.tenant, _demand(c), now=_time(c), full=c.random() < 0.5),
    lambda c, t, job: usage_items.give_back(t, job.tenant, _count(c), of=c.choice("ab")),
    lambda c, t, job: usage_items.drop_part(t, job.tenant, Tally.WAITING, _count(c).part, c.randint(1, 3)),
    lambda _, t, job: usage_items.get_usage(t, job.tenant),
)


def _count(chance: random.Random) -> Count:
    return Count(Tally.WAITING, chance.randint(1, 3), NOW + chance.randint(0, 1) * DAY, chance.choice((None, 4)))


def _demand(chance: random.Random) -> Demand:
    return Demand([_count(chance)], "submits", chance.choice((None, TokenBucket(0.1, 2))))


def test_s3(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    chance = random.Random(tenant)
    for number in range(150):
        call = chance.choice(_BUCKET_CALLS)(chance, settings.bucket, tenant)
        expected, got = _stored(aws, call), _stored(model, call)
        assert got == expected, f"call {number}: {call.operation} {call.params}"


def _stored(transport: Transport, call: Call[Any]) -> Any:
    answer = transport.send(call)
    if hasattr(answer, "read"):
        with answer:
            return answer.read()
    return answer


def _object(chance: random.Random, tenant: str) -> str:
    return f"results/{tenant}/{chance.randint(1, 4)}"


def _put(chance: random.Random, bucket: str, tenant: str) -> Call[None]:
    body = chance.randbytes(20)
    sha256 = hashlib.sha256(body).digest()
    return s3.put(bucket, _object(chance, tenant), body, content_type="text/plain", sha256=sha256)


_BUCKET_CALLS: Sequence[Callable[[random.Random, str, str], Call[Any]]] = (
    _put,
    lambda c, b, t: s3.get(b, _object(c, t)),
    lambda c, b, t: s3.head(b, _object(c, t)),
    lambda c, b, t: s3.copy(b, _object(c, t), f"results/{t}/copy-{c.randint(1, 3)}"),
    lambda _, b, t: s3.list_keys(b, f"results/{t}/"),
    lambda c, b, t: s3.delete(b, [_object(c, t), _object(c, t)]),
)


def test_an_object_in_parts(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    bucket, key = settings.bucket, f"results/{tenant}/parts"
    outcomes = []
    for transport in (aws, model):
        upload = transport.send(s3.start_multipart(bucket, key, content_type="text/plain"))
        before = _stored(transport, s3.get(bucket, key))
        bodies = (b"a" * 5 * 1024**2, b"b")
        etags = [
            transport.send(s3.put_part(bucket, key, upload, number=number, body=body, crc32=crc32(body)))
            for number, body in enumerate(bodies, start=1)
        ]
        transport.send(s3.complete_multipart(bucket, key, upload, etags))
        abandoned = transport.send(s3.start_multipart(bucket, f"{key}-2", content_type="text/plain"))
        forgotten = transport.send(s3.start_multipart(bucket, f"{key}-3", content_type="text/plain"))
        assert forgotten != abandoned
        transport.send(s3.abort_multipart(bucket, f"{key}-2", abandoned))
        unfinished = [found.key for found in transport.send(s3.list_multipart_uploads(bucket, key))]
        outcomes.append(
            (before, unfinished, _stored(transport, s3.get(bucket, key)), transport.send(s3.list_keys(bucket, key)))
        )
    assert outcomes[0] == outcomes[1]


def test_sqs(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    chance = random.Random(tenant)
    url = settings.queues["default"]
    transports: tuple[Transport, Transport] = (aws, model)
    held: list[dict[str, sqs.ReceivedMessage]] = [{}, {}]
    for number in range(60):
        message = JobMessage(tenant=tenant, job=f"job_{number}")
        if chance.random() < 0.5:
            delay = chance.choice((0, 0, 0, 900))
            for transport in transports:
                transport.send(sqs.send_job(url, message, delay=delay))
        received = [{m.body: m for m in _received(transport, url)} for transport in transports]
        assert received[0].keys() == received[1].keys()
        for mine, new in zip(held, received, strict=True):
            mine.update(new)
        for body in sorted(held[0]):
            _conclude(chance.choice(_ENDINGS), transports, [mine[body] for mine in held])


def _received(transport: Transport, url: str) -> Iterator[sqs.ReceivedMessage]:
    while found := transport.send(sqs.receive(url, wait=0, limit=10)):
        yield from found


_ENDINGS: Sequence[Callable[[sqs.ReceivedMessage], Call[None]] | None] = (
    None,
    None,
    sqs.delete,
    lambda received: sqs.change_visibility(received, 0),
    lambda received: sqs.change_visibility(received, 600),
)


def _conclude(
    ending: Callable[[sqs.ReceivedMessage], Call[None]] | None,
    transports: tuple[Transport, Transport],
    received: list[sqs.ReceivedMessage],
) -> None:
    if ending is not None:
        for transport, message in zip(transports, received, strict=True):
            transport.send(ending(message))

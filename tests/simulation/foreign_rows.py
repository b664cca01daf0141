"""Rows that are due beside those of the schedule: of other versions, or so many that they may be in the way."""

from __future__ import annotations

import random
from dataclasses import replace

from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.aws.s3_keys import result_key
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.shards import ShardKind, due_shard, removal_shard
from tests.simulation.actors import DEPLOYMENT, QUEUE
from tests.simulation.api_process import TENANT
from tests.simulation.item_kinds import BACKLOG
from tests.simulation.job_plans import JOB_TYPE
from tests.simulation.s3 import Stored
from tests.simulation.scheduler import START
from tests.simulation.world import World


def due_row(chance: random.Random, **changes: object) -> Job:
    """The row of a job that was due before the schedule began."""
    job = Job(
        tenant=TENANT,
        id=make_id("job", chance.randbytes(16)),
        type=JOB_TYPE.name,
        lane="default",
        status=Status.QUEUED,
        version=1,
        created_at=START - MINUTE,
        updated_at=START - MINUTE,
        attempt=0,
        max_attempts=1,
        timeout=MINUTE,
        retention=MINUTE,
        digest=b"",
        input=Blob.of(b"{}", JSON),
        due_shard=due_shard(ShardKind.DUE, "job", DEPLOYMENT.due_shards),
        due_at=START - chance.randint(1, 60) * SECOND,
        history=(JobEvent("job.queued", START - MINUTE),),
    )
    return replace(job, **changes)  # type: ignore[arg-type]  # the names are checked when it is called


def of_a_newer_version(chance: random.Random) -> Item:
    """A row that is due and that this version must leave alone."""
    row = encode_job(due_row(chance))
    return row | chance.choice(({SCHEMA: {"N": "2"}}, {"status": {"S": "paused"}}, {"status": {"S": "merged"}}))


def put(world: World, row: Item) -> None:
    """Let the row stand there from the beginning, and perhaps a message of its job wait."""
    world.model.table.write((row["pk"]["S"], row["sk"]["S"]), row, START)
    key = JobKey.of(row)
    if world.chance.random() < 0.3 and not key.id.startswith(BACKLOG):
        world.model.carry_out(send_job(QUEUE, JobMessage(tenant=key.tenant, job=key.id)), START)


def backlog(world: World) -> None:
    """Thousands of due rows of one kind, before all others."""
    chance = world.chance
    make = chance.choice((_newer, _over, _idle))
    for number in range(chance.randint(300, 2000)):
        put(world, make(world, f"{BACKLOG}{number}"))


def _newer(world: World, name: str) -> Item:
    """All in one shard."""
    return encode_job(due_row(world.chance, id=name, due_shard="due-0")) | {SCHEMA: {"N": "2"}}


def _over(world: World, name: str) -> Item:
    """Its bytes are to be removed, and some cannot be."""
    job = due_row(
        world.chance,
        id=name,
        status=Status.SUCCEEDED,
        attempt=1,
        result=Blob(1, b"s" * 32, "text/plain"),
        finished_at=START - 2 * MINUTE,
        expires_at=START - MINUTE,
        due_shard=removal_shard(due_shard(ShardKind.DUE, name, DEPLOYMENT.due_shards)),
    )
    key = result_key(job)
    world.model.bucket.objects[key] = Stored(b"b", "text/plain")
    if world.chance.random() < 0.01:
        world.model.bucket.stubborn.add(key)
    return encode_job(job)


def _idle(world: World, name: str) -> Item:
    """It waits in a lane that nobody works off."""
    return encode_job(
        due_row(world.chance, id=name, lane="idle", due_shard=due_shard(ShardKind.DUE, name, DEPLOYMENT.due_shards))
    )

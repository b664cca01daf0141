"""Rows of other versions among those that are due."""

from __future__ import annotations

import random
from dataclasses import replace

from coatcheck.clock import MINUTE, SECOND
from coatcheck.ids import make_id
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.queues import send_job
from coatcheck.record import JSON, Blob, Event, Job
from coatcheck.table.codec import encode_job
from coatcheck.table.keys import Item, JobKey
from coatcheck.table.unknown import SCHEMA
from tests.simulation.actors import QUEUE
from tests.simulation.asking import TENANT
from tests.simulation.plans import JOB_TYPE
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
        due_at=START - chance.randint(1, 60) * SECOND,
        history=(Event("job.queued", START - MINUTE),),
    )
    return replace(job, **changes)  # type: ignore[arg-type]  # the names are checked when it is called


def of_a_newer_version(chance: random.Random) -> Item:
    """A row that is due and that this version must leave alone."""
    row = encode_job(due_row(chance))
    return row | chance.choice(({SCHEMA: {"N": "2"}}, {"status": {"S": "paused"}}, {"status": {"S": "merged"}}))


def put(world: World, row: Item) -> None:
    """Let the row stand there from the beginning, and perhaps a message of its job wait."""
    world.model.table.write((row["pk"]["S"], row["sk"]["S"]), row, START)
    if world.chance.random() < 0.3:
        key = JobKey.of(row)
        world.model.carry_out(send_job(QUEUE, JobMessage(tenant=key.tenant, job=key.id)), START)

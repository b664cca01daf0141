"""Handlers that harm their process, under the real worker: their jobs end right, the jobs beside them succeed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from coatcheck.authoring.types import JobType
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from tests.kill import recovery
from tests.kill.checks import history
from tests.kill.emulator import LANE, Emulator, emulator
from tests.kill.flows import CRASHED, FAILED, TIMED_OUT, End
from tests.kill.hostile_handlers import BESIDE, EATS, EXITS, HANGS, KILLS, SPINS
from tests.kill.job_type import KillInput

LEASE = 60
"""Seconds. Nothing here waits for a lease: the test would take longer than its patience."""

MEMORY = "384"
SHORT, LONG = 2 * SECOND, 60 * SECOND
MAX_ATTEMPTS = 2
BESIDES = 4
PATIENCE = 50.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Workers, each with little memory, and a sweeper."""
    with ExitStack() as parts:
        stores = parts.enter_context(emulator(tmp_path_factory.mktemp("kill"), lease=LEASE))
        parts.enter_context(recovery.workers(stores, runners="2", memory=MEMORY))
        parts.enter_context(recovery.sweeper(stores, every=1))
        yield stores


@pytest.mark.parametrize(
    ("job_type", "timeout", "end"),
    [
        pytest.param(SPINS, SHORT, TIMED_OUT, id="spins for ever"),
        pytest.param(EXITS, LONG, CRASHED, id="ends its process"),
        pytest.param(KILLS, LONG, CRASHED, id="kills its process"),
        pytest.param(EATS, LONG, FAILED, id="eats all memory"),
        pytest.param(HANGS, SHORT, TIMED_OUT, id="holds the interpreter"),
    ],
)
def test_a_harmful_handler_harms_its_own_job_alone(
    stack: Emulator, job_type: JobType[Any, Any], timeout: int, end: End
) -> None:
    harmful, beside = _submit(stack, job_type, timeout), [_submit(stack, BESIDE) for _ in range(BESIDES)]
    ended = _ended(stack, harmful)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == end
    causes = [event.error.code for event in history(stack, ended) if event.error]
    assert causes == [end[1]] * MAX_ATTEMPTS, "the history tells of each attempt"
    after = _submit(stack, BESIDE)
    assert {_ended(stack, job).status for job in (*beside, after)} == {Status.SUCCEEDED}


def _submit(stack: Emulator, job_type: JobType[Any, Any], timeout: int = LONG) -> Job:
    tenant = f"t-{secrets.token_hex(6)}"
    job = stack.put(tenant, KillInput(do="nothing"), type=job_type.name, timeout=timeout, max_attempts=MAX_ATTEMPTS)
    stack.send(stack.settings.queues[LANE], job)
    return job


def _ended(stack: Emulator, job: Job) -> Job:
    give_up_at = time.monotonic() + PATIENCE
    while (row := stack.row(JobKey(job.tenant, job.id))) is None or not row.done:
        assert time.monotonic() < give_up_at, f"{job.type} is {row.status if row else 'gone'} after {PATIENCE:g} s"
        time.sleep(0.1)
    return row

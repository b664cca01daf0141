"""A polling process that is told to end, whatever it is about, and what the processes say."""

from __future__ import annotations

import json
import logging
import re
import threading
import time

import pytest

from coatcheck.authoring.context import Context
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import BadSettings, Settings
from coatcheck_worker.__main__ import serving_lines
from coatcheck_worker.supervisor.poller import Poller
from tests.aws.worker.worker_harness import Number, WorkerHarness, is_claim
from tests.transports import Fault, FaultyTransport, send_after


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_a_job_whose_claim_is_answered_when_the_grace_is_over_is_handed_back(harness: WorkerHarness) -> None:
    ran = []

    def never(_: Number, __: Context) -> Number:
        ran.append(1)
        return Number()

    queue_url = harness.settings.queues["default"]
    job = harness.submit(max_attempts=1)
    harness.transport.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id)))

    def let_grace_pass() -> None:
        poller.drain()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()

    slow_claim = FaultyTransport(harness.transport, Fault(send_after(let_grace_pass), is_claim))
    poller = Poller(harness.dependencies(never, slow_claim), queue_url, grace=0)
    poller.work()
    row = harness.row(job)
    assert (row.status, row.attempt, row.max_attempts) == (Status.QUEUED, 1, 2)
    assert ran == []
    retrying = row.history[-1].error
    assert retrying is not None
    assert retrying.code == "handed-back"


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_a_second_signal_hands_the_job_back_at_once(harness: WorkerHarness) -> None:
    def wait_for_the_end(number: Number, ctx: Context) -> Number:
        if ctx.job_id != job.id:  # it was left in the queue by another test
            return number
        poller.drain()
        poller.drain()
        while True:
            ctx.check()
            time.sleep(0.01)

    queue_url = harness.settings.queues["default"]
    job = harness.submit(max_attempts=1)
    harness.transport.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id)))
    poller = Poller(harness.dependencies(wait_for_the_end), queue_url, grace=600)
    poller.work()
    row = harness.row(job)
    assert (row.status, row.attempt, row.max_attempts) == (Status.QUEUED, 1, 2)


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_a_process_that_is_to_end_says_what_it_waits_for(harness: WorkerHarness) -> None:
    lines: list[str] = []
    said = threading.Event()

    def told_to_end(_: Number, __: Context) -> Number:
        poller.drain()
        assert said.wait(10)
        return Number()

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            said.set()

    queue_url = harness.settings.queues["default"]
    job = harness.submit()
    harness.transport.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id)))
    poller = Poller(harness.dependencies(told_to_end), queue_url, grace=60)
    logger = logging.getLogger("coatcheck_worker.supervisor.poller")
    logger.addHandler(handler := Said())
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        poller.work()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    # the queue may hold another test's job
    waiting = r"before it ends, this process is waiting for job_\w+ \(test\.job\), which has run for \d s"
    assert re.fullmatch(waiting, lines[0])


def test_the_start_says_what_is_served() -> None:
    queues = json.dumps(dict.fromkeys(["default", "heavy", "webhooks"], "nowhere"))
    stores = {"table": "none", "bucket": "none", "queues": queues, "dead_letters": queues, "webhook_key": "none"}
    jobs = "jobs.thumbnails,jobs.demo,coatcheck.authoring.ping"
    settings = Settings.model_validate({**stores, "jobs": jobs})
    assert serving_lines(settings, ["default", "heavy"], 2) == [
        "serving demo.bytes, demo.sleep, image.thumbnails (lane default, 2 runners)",
        "serving no job type (lane heavy, 2 runners)",
    ]
    assert serving_lines(Settings.model_validate(stores), [], 1) == []
    with pytest.raises(BadSettings):
        serving_lines(Settings.model_validate(stores), ["default"], 1)

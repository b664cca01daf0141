"""The dispatcher as a Lambda function: it sends the messages of jobs whose rows API Gateway has made (docs/adr/0163).

What it does not send, the sweeper sends: the row has its `due_at` from the start.
"""

from __future__ import annotations

import base64
import functools
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import audit
from coatcheck.core.aws.dynamodb.codec import decode_job
from coatcheck.core.aws.dynamodb.keys import AttributeValue
from coatcheck.core.aws.enqueue import job_message
from coatcheck.core.aws.sqs import MAX_BATCH, send_jobs
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import SUBMIT
from coatcheck.core.log import configure
from coatcheck.core.metrics import jobs
from coatcheck.core.settings import Settings
from coatcheck.telemetry.pump import MetricsPump, pump_for_lambda
from coatcheck_worker.aws import connect

log = logging.getLogger(__name__)


def dispatch(event: Mapping[str, Any], _context: object) -> None:
    """Stream of the table: send a message for each row that it names. Raises AwsError: Lambda sends the event again."""
    with _metrics().flushing():
        dispatch_rows(_transport(), _settings(), event)


def dispatch_rows(transport: Transport, settings: Settings, event: Mapping[str, Any]) -> None:
    """Send the messages, then note what the service notes of a submit: in the audit log, and in the metrics of jobs."""
    by_lane: dict[str, list[Job]] = defaultdict(list)
    for job in _new_jobs(event):
        by_lane[job.lane].append(job)
    for lane, of_lane in by_lane.items():
        for first in range(0, len(of_lane), MAX_BATCH):
            batch = of_lane[first : first + MAX_BATCH]
            sent = transport.send(send_jobs(settings.queues[lane], [(job_message(job), 0) for job in batch]))
            if len(sent) < len(batch):
                log.warning("%d messages were not taken by the queue of lane %s", len(batch) - len(sent), lane)
            for job in batch:
                audit.record(audit.job_changed(f"job.{SUBMIT.target}", job))
                jobs.job_changed(f"job.{SUBMIT.target}", job)


def _new_jobs(event: Mapping[str, Any]) -> Iterator[Job]:
    for record in event["Records"]:
        yield decode_job({name: _value(value) for name, value in record["dynamodb"]["NewImage"].items()})


def _value(value: AttributeValue) -> AttributeValue:
    """An attribute of an event, in which bytes are base64."""
    ((kind, held),) = value.items()
    return {"B": base64.b64decode(held)} if kind == "B" else value


@functools.cache
def _settings() -> Settings:
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    return settings


@functools.cache
def _transport() -> Transport:
    return connect()


@functools.cache
def _metrics() -> MetricsPump:
    return pump_for_lambda(_settings())

"""The worker, the sweeper and the deliverer of webhooks as Lambda functions."""

from __future__ import annotations

import functools
import logging
import os
import random
from dataclasses import replace
from typing import Any

from coatcheck.calls import AwsError
from coatcheck.clock import MINUTE, SECOND
from coatcheck.deployment import Deployment
from coatcheck.functions import invoke_later
from coatcheck.log import configure
from coatcheck.queues import Received
from coatcheck.table.keys import ShardKind
from worker.aws import Boto
from worker.inbox import about_message, handle
from worker.sweep import SWEEP_THREADS, ShareMessage, Starts, shards_of
from worker.sweep import sweep as sweep_once
from worker.sweep.share import EVERY_SHARD_EACH
from worker.tools import Tools, in_threads, system_clock
from worker.webhooks.desk import Desk
from worker.webhooks.inbox import attend, wait_for_a_turn
from worker.webhooks.pool import Pool, Shares

log = logging.getLogger(__name__)

MARGIN = 15 * SECOND
"""Time kept back from the Lambda's own deadline: to stop a handler, settle and end before Lambda kills."""

ATTEMPT_MARGIN = 25 * SECOND
"""Time that one attempt at a delivery may take, with what is read before and written after."""

SWEEP_MARGIN = 5 * SECOND
"""Time kept back from the deadline of a sweep: for the rows that are being attended to when its time is up."""

SHARE = 2
"""Records of one batch that go to the same endpoint at a time: of a batch of ten, no more than a quarter or so."""


def run(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """SQS event source: run each record's job; those to be seen again are reported as batch item failures.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    tools = _tools(with_handlers=True)
    deadline = tools.clock() + context.get_remaining_time_in_millis() - MARGIN
    failures = [
        {"itemIdentifier": record["messageId"]} for record in event["Records"] if not _handled(tools, record, deadline)
    ]
    return {"batchItemFailures": failures}


def deliver(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """SQS event source of the lane of webhooks: attend to the records side by side; failures are reported as by `run`.

    A record that cannot be begun in time is one of them.
    """
    if not event["Records"]:
        return {"batchItemFailures": []}
    desk = _desk()
    tools = desk.tools
    begin_until = tools.clock() + context.get_remaining_time_in_millis() - ATTEMPT_MARGIN
    received = [_received(tools, record) for record in event["Records"]]
    done: set[str] = set()

    def attend_in_time(one: Received) -> None:
        in_time = tools.clock() < begin_until
        if attend(desk, one) if in_time else wait_for_a_turn(tools, one):
            done.add(one.message_id)

    # whose messages come is SQS's matter, which shares the queue among its groups
    every = len(received)
    shares = Shares(endpoint=SHARE, endpoint_waiting=every, tenant=every, tenant_waiting=every)
    with Pool(every, shares, attend=attend_in_time, turn_away=attend_in_time) as pool:
        for one in received:
            pool.take(one)
    return {"batchItemFailures": [{"itemIdentifier": r.message_id} for r in received if r.message_id not in done]}


def sweep(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Schedule: attend to what is overdue, and call this function again beside itself for what is too much for one.

    Answers how many were attended to, by what was done.
    """
    tools = _sweepers_tools()
    until = tools.clock() + context.get_remaining_time_in_millis() - SWEEP_MARGIN
    handed = ShareMessage.model_validate(event)
    shards = tools.deployment.due_shards if handed.shards else shards_of(tools.deployment, _since_all(tools.clock()))

    def hand_over(kind: ShardKind, starts: Starts) -> None:
        message = ShareMessage.model_validate({"shards": {kind: starts}})
        tools.aws.send(invoke_later(context.invoked_function_arn, message.model_dump_json()))

    return sweep_once(
        tools,
        until=until,
        share=handed.share(shards),
        # what was handed over is not handed on: one schedule's event makes so many calls, and no more
        hand_over=None if handed.shards else hand_over,
    )


def _handled(tools: Tools, record: dict[str, Any], deadline: int) -> bool:
    """Whether the record's message has done its work; Lambda deletes those that have."""
    received = _received(tools, record)
    with about_message(tools, received):
        try:
            return handle(tools, received, deadline=deadline)
        except AwsError:
            log.exception("message %s: AWS did not answer; it will come again", received.message_id)
            return False


def _received(tools: Tools, record: dict[str, Any]) -> Received:
    receives = int(record["attributes"]["ApproximateReceiveCount"])
    return Received(_queue_url(tools, record), record["receiptHandle"], record["body"], record["messageId"], receives)


def _queue_url(tools: Tools, record: dict[str, Any]) -> str:
    name = record["eventSourceARN"].rsplit(":", 1)[-1]
    return next(url for url in tools.deployment.queues.values() if url.rsplit("/", 1)[-1] == name)


@functools.cache
def _desk() -> Desk:
    return Desk.of(_tools(with_handlers=False), os.environ)


def _since_all(now: int) -> int:
    """How long ago all shards were looked through: in every tenth minute it is time to."""
    return EVERY_SHARD_EACH if now % EVERY_SHARD_EACH < MINUTE else 0


@functools.cache
def _sweepers_tools() -> Tools:
    return replace(_tools(with_handlers=False), side_by_side=in_threads(SWEEP_THREADS))


@functools.cache
def _tools(*, with_handlers: bool) -> Tools:
    """Made once per container. The sweeper needs no handler, and none of what handlers import."""
    deployment = Deployment.from_env(os.environ)
    configure(deployment.log)
    handlers = {}
    if with_handlers:
        from jobs.handlers import HANDLERS  # noqa: PLC0415

        handlers = dict(HANDLERS)
    return Tools(Boto(), deployment, handlers, clock=system_clock, roll=random.random)

"""The worker, the sweeper and the webhook deliverer as Lambda functions."""

from __future__ import annotations

import functools
import logging
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.lambda_functions import invoke_async
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.clock import MINUTE, SECOND, system_clock
from coatcheck.core.log import configure, log_context
from coatcheck.core.settings import Settings
from coatcheck.core.shards import ShardKind
from coatcheck.core.trace import parse_xray
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import MetricsPump, pump_for_lambda
from coatcheck_worker import memory
from coatcheck_worker.aws import connect, s3_signer
from coatcheck_worker.dependencies import Dependencies, threaded_map
from coatcheck_worker.message_consumer import log_context_of
from coatcheck_worker.process_isolation import hide_memory
from coatcheck_worker.sqs_batch import BatchReport, received_messages, report
from coatcheck_worker.supervisor.forkserver_client import ForkserverClient
from coatcheck_worker.supervisor.handler_environment import handler_environment
from coatcheck_worker.supervisor.job_messages import handle
from coatcheck_worker.supervisor.runner_pool import RunnerPool
from coatcheck_worker.sweep import SWEEP_THREADS, ShardAssignmentMessage, ShardCursors, shards_of
from coatcheck_worker.sweep import sweep as sweep_once
from coatcheck_worker.sweep.shard_assignment import FULL_SWEEP_INTERVAL
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from coatcheck_worker.webhooks.fair_pool import ConcurrencyLimits, FairPool
from coatcheck_worker.webhooks.webhook_messages import process_message, redeliver_later

log = logging.getLogger(__name__)

TRACE_HEADER = "_X_AMZN_TRACE_ID"
"""Lambda sets this variable for each invocation: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

MARGIN = 15 * SECOND
"""Time reserved before the Lambda's own deadline: to stop a handler, settle and end before Lambda kills the process."""

ATTEMPT_MARGIN = 25 * SECOND
"""Time that one delivery attempt may take, with the reads before it and the writes after it."""

SWEEP_MARGIN = 5 * SECOND
"""Time reserved before the deadline of a sweep: for the rows in progress when its time is up."""

SUPERVISOR_MEMORY = 128
"""MB of the function's memory that its runner may not take: its own process needs them to settle the job."""

ENDPOINT_LIMIT = 2
"""Records of one batch that may go to the same endpoint at a time: about a quarter of a batch of ten."""


def run(event: dict[str, Any], context: Any) -> BatchReport:
    """SQS event source: run each record's job."""
    dependencies = _worker_dependencies()
    deadline = dependencies.clock() + context.get_remaining_time_in_millis() - MARGIN
    with _metrics().flushing():
        return run_batch(dependencies, event, deadline=deadline)


def run_batch(dependencies: Dependencies, event: object, *, deadline: int) -> BatchReport:
    """Run the job of each record, one after the other. Returns which are to be received again; raises nothing."""
    return report(
        _message_id(one)
        for one in received_messages(dependencies.settings, event)
        if isinstance(one, str) or not _handled(dependencies, one, deadline)
    )


def deliver(event: dict[str, Any], context: Any) -> BatchReport:
    """SQS event source of lane `webhooks`: process the records in parallel."""
    if not event["Records"]:
        return report(())
    delivery_context = _delivery_context()
    remaining = context.get_remaining_time_in_millis() - ATTEMPT_MARGIN
    with _metrics().flushing():
        return deliver_batch(delivery_context, event, begin_until=delivery_context.dependencies.clock() + remaining)


def deliver_batch(delivery_context: DeliveryContext, event: object, *, begin_until: int) -> BatchReport:
    """Process the records in parallel. Returns which are to be received again; raises nothing.

    A record that cannot be started in time is one of them.
    """
    dependencies = delivery_context.dependencies
    read = list(received_messages(dependencies.settings, event))
    received = [one for one in read if isinstance(one, ReceivedMessage)]
    done: set[str] = set()

    def process_in_time(one: ReceivedMessage) -> None:
        in_time = dependencies.clock() < begin_until
        if process_message(delivery_context, one) if in_time else redeliver_later(dependencies, one):
            done.add(one.message_id)

    # SQS decides whose messages come: it shares the queue among its message groups
    every = max(len(received), 1)
    limits = ConcurrencyLimits(
        endpoint=ENDPOINT_LIMIT, max_waiting_per_endpoint=every, tenant=every, max_waiting_per_tenant=every
    )
    with FairPool(every, limits, process_message=process_in_time, reject=process_in_time) as pool:
        for one in received:
            pool.submit(one)
    return report(_message_id(one) for one in read if isinstance(one, str) or one.message_id not in done)


def sweep(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Schedule: process overdue rows, and invoke this function again in parallel for what is too much for one.

    Returns how many rows were processed, by what was done.
    """
    dependencies = _sweeper_dependencies()
    until = dependencies.clock() + context.get_remaining_time_in_millis() - SWEEP_MARGIN
    with _metrics().flushing():
        return sweep_part(dependencies, event, until=until, function_arn=context.invoked_function_arn)


def sweep_part(dependencies: Dependencies, event: object, *, until: int, function_arn: str) -> dict[str, int]:
    """Process the overdue rows of the shards that the event assigns, or of all; returns as `sweep`.

    An event that assigns what is no shard is logged and does nothing: the next scheduled one assigns all.
    """
    try:
        delegated = ShardAssignmentMessage.model_validate(event)
    except ValidationError as error:
        log.error("the event assigns no shards: %d errors", error.error_count())  # noqa: TRY400 - the trace shows it
        return {}
    shards = (
        dependencies.settings.due_shards
        if delegated.shards
        else shards_of(dependencies.settings, _since_full_sweep(dependencies.clock()))
    )

    def delegate(kind: ShardKind, cursors: ShardCursors) -> None:
        message = ShardAssignmentMessage.model_validate({"shards": {kind: cursors}})
        dependencies.transport.send(invoke_async(function_arn, message.model_dump_json()))

    return sweep_once(
        dependencies,
        until=until,
        assignment=delegated.assignment(shards),
        # a delegated assignment is not delegated again: this bounds the invocations that one scheduled event makes
        delegate=None if delegated.shards else delegate,
    )


def _handled(dependencies: Dependencies, received: ReceivedMessage, deadline: int) -> bool:
    """Process a message. Returns True if Lambda may delete it."""
    trace = parse_xray(os.environ.get(TRACE_HEADER, ""))
    with log_context_of(dependencies, received), log_context(trace_id=trace.trace_id if trace else None):
        try:
            return handle(dependencies, received, deadline=deadline)
        except AwsError:
            log.exception("message %s: AWS did not answer; it will come again", received.message_id)
        except Exception:
            log.exception("message %s: it will come again", received.message_id)
        return False


def _message_id(one: ReceivedMessage | str) -> str:
    return one if isinstance(one, str) else one.message_id


@functools.cache
def _delivery_context() -> DeliveryContext:
    return DeliveryContext.of(_dependencies(), os.environ)


def _since_full_sweep(now: int) -> int:
    """How long ago all shards were read: they are due in every tenth minute."""
    return FULL_SWEEP_INTERVAL if now % FULL_SWEEP_INTERVAL < MINUTE else 0


@functools.cache
def _sweeper_dependencies() -> Dependencies:
    return replace(_dependencies(), parallel_map=threaded_map(SWEEP_THREADS))


@functools.cache
def _worker_dependencies() -> Dependencies:
    """The dependencies of the worker, made once per container: one runner, which is kept between invocations."""
    hide_memory()
    dependencies = _dependencies()
    settings = dependencies.settings
    environment = handler_environment(dependencies.transport, settings)
    # Lambda's own start adds the folders of the function and of its layers
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # it imports the job types while this process makes another client
    forkserver = ForkserverClient(environment, megabytes=_runner_megabytes(os.environ))
    return replace(dependencies, runners=RunnerPool(forkserver), sign=s3_signer(settings.bucket))


def _runner_megabytes(environ: Mapping[str, str]) -> int:
    return max(memory.MIN_MEMORY, int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")) - SUPERVISOR_MEMORY)


@functools.cache
def _metrics() -> MetricsPump:
    """What writes the metrics of this container, at the end of each invocation."""
    return pump_for_lambda(Settings.from_env(os.environ))


@functools.cache
def _dependencies() -> Dependencies:
    """The dependencies of a function that runs no handlers, made once per container."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    return Dependencies(connect(), settings, clock=system_clock, roll=random.random, tracer=installed_tracer())

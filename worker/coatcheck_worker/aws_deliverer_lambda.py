"""The webhook deliverer as a Lambda function."""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.clock import SECOND
from coatcheck.core.messages import DeliveryMessage
from coatcheck_worker import lambda_process
from coatcheck_worker.sqs_batch import BatchReport, message_id_of, received_messages, report
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from coatcheck_worker.webhooks.fair_pool import ConcurrencyLimits, FairPool
from coatcheck_worker.webhooks.webhook_messages import process_message, redeliver_later

ATTEMPT_MARGIN = 25 * SECOND
"""Time that one delivery attempt may take, with the reads before it and the writes after it."""

ENDPOINT_LIMIT = 2
"""Records of one batch that may go to the same endpoint at a time: about a quarter of a batch of ten."""


def deliver(event: dict[str, Any], context: Any) -> BatchReport:
    """SQS event source of lane `webhooks`: process the records in parallel."""
    if not event["Records"]:
        return report(())
    delivery_context = _delivery_context()
    remaining = context.get_remaining_time_in_millis() - ATTEMPT_MARGIN
    with lambda_process.metrics().flushing():
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
        if process_message(delivery_context, one, admit) if in_time else redeliver_later(dependencies, one):
            done.add(one.message_id)

    def admit(message: DeliveryMessage) -> AbstractContextManager[bool]:
        in_time = dependencies.clock() < begin_until
        return pool.admitted(message) if in_time else nullcontext(enter_result=False)

    # SQS decides whose messages come: it shares the queue among its message groups
    every = max(len(received), 1)
    limits = ConcurrencyLimits(
        endpoint=ENDPOINT_LIMIT, max_waiting_per_endpoint=every, tenant=every, max_waiting_per_tenant=every
    )
    with FairPool(every, limits, process_message=process_in_time, reject=process_in_time) as pool:
        for one in received:
            pool.submit(one)
    return report(message_id_of(one) for one in read if isinstance(one, str) or one.message_id not in done)


@functools.cache
def _delivery_context() -> DeliveryContext:
    return DeliveryContext.of(lambda_process.dependencies(), os.environ)

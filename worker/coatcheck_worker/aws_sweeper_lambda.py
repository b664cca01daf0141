"""The sweeper as a Lambda function."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from coatcheck.core.aws.lambda_functions import invoke_async
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.shards import ShardKind
from coatcheck_worker import lambda_process
from coatcheck_worker.dependencies import Dependencies, threaded_map
from coatcheck_worker.sweep import SWEEP_THREADS, ShardAssignmentMessage, ShardCursors, shards_of
from coatcheck_worker.sweep import sweep as sweep_once
from coatcheck_worker.sweep.shard_assignment import FULL_SWEEP_INTERVAL

log = logging.getLogger(__name__)

SWEEP_MARGIN = 5 * SECOND
"""Time reserved before the deadline of a sweep: for the rows in progress when its time is up."""


def sweep(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Schedule: process overdue rows, and invoke this function again in parallel for what is too much for one.

    Returns how many rows were processed, by what was done.
    """
    dependencies = _sweeper_dependencies()
    until = dependencies.clock() + context.get_remaining_time_in_millis() - SWEEP_MARGIN
    with lambda_process.metrics().flushing():
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


def _since_full_sweep(now: int) -> int:
    """How long ago all shards were read: they are due in every tenth minute."""
    return FULL_SWEEP_INTERVAL if now % FULL_SWEEP_INTERVAL < MINUTE else 0


@functools.cache
def _sweeper_dependencies() -> Dependencies:
    return replace(lambda_process.dependencies(), parallel_map=threaded_map(SWEEP_THREADS))

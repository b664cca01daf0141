"""Run the handler of one attempt, store what it returned, and say how the attempt ended."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coatcheck.authoring.context import Stopped
from coatcheck.authoring.retry import Reject, RetryLater
from coatcheck.authoring.types import Continue, Handler
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import sanitize
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.job import Blob
from coatcheck.core.trace import parse_traceparent
from coatcheck.core.tracing import flush_spans, installed_tracer
from coatcheck_worker.protocol import MAX_LOG_TEXT, Artifact, Continued, Outcome, Raised, Returned, RunJob, StoredBlob
from coatcheck_worker.runner.handler_errors import decisive, reason_of, wait_of
from coatcheck_worker.runner.job_context import JobContext
from coatcheck_worker.runner.storage.results import BadResult, as_result, store_checkpoint, store_result
from coatcheck_worker.runner.supervisor_port import SupervisorPort

FORKED_EXIT_STATUS = 70
"""Exit status of a child of a handler that returned from it (EX_SOFTWARE)."""

_SHOWN_NAME = 100


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """How an attempt ended. `inline` is its result or checkpoint, if the row takes it."""

    outcome: Outcome
    inline: bytes = b""


def run_handler(
    handler: Handler[Any, Any],
    job: RunJob,
    body: bytes,
    *,
    port: SupervisorPort,
    transport: Transport,
    clock: Callable[[], int],
) -> EndedAttempt:
    """Run the handler of `job`. `body` is the job's input, and its checkpoint if it has one. Raises nothing.

    `transport` reaches S3 alone. An attempt whose process ends within the handler returns nothing.
    """
    context = JobContext(transport, job, port, workdir=Path(job.workdir), clock=clock)
    trace = parse_traceparent(job.traceparent or "")
    try:
        with installed_tracer().continued(trace) if trace else contextlib.nullcontext():
            return _store(handler, job, _call(handler, job, body, context, port), context, transport)
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises ends its attempt, and not more
        return _raised(error, handler, stop_requested=port.stop_reason is not None)
    finally:
        # what is told of this attempt's end may be followed by the end of this process
        flush_spans()


def _call(handler: Handler[Any, Any], job: RunJob, body: bytes, context: JobContext, port: SupervisorPort) -> Any:
    # the attempt may have to end before it began: the claim may have taken longer than there was time
    context.check()
    context.checkpoint = json.loads(body[job.input_size :]) if job.has_checkpoint else None
    given, process = _input(handler, body[: job.input_size]), os.getpid()
    try:
        value = handler.run(given, context)
        if inspect.isawaitable(value):
            return asyncio.run(_until_stopped(value, port))
        return value
    finally:
        if os.getpid() != process:
            # the handler forked, and its child came back: it must not answer for the attempt
            os._exit(FORKED_EXIT_STATUS)


def _input(handler: Handler[Any, Any], text: bytes) -> Any:
    try:
        return handler.job_type.input.model_validate_json(text)
    except ValidationError as error:
        raise Reject(
            f"the input no longer fits {handler.job_type.name} ({error.error_count()} errors): submit the job anew"
        ) from None


async def _until_stopped(work: Any, port: SupervisorPort) -> Any:
    """Await `work`; when the attempt has to end, cancel it at its next await."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)

    def cancel() -> None:
        # the loop is closed when the handler has finished: there is nothing left to cancel
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    port.call_when_stopped(cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if port.stop_reason is None:
            raise
        raise Stopped(port.stop_reason) from None


def _store(
    handler: Handler[Any, Any], job: RunJob, value: Any, context: JobContext, transport: Transport
) -> EndedAttempt:
    if isinstance(value, Continue):
        checkpoint = store_checkpoint(transport, job.bucket, job, value.checkpoint, in_row=context.checkpoint_room())
        continued = Continued(
            checkpoint=StoredBlob.of(checkpoint),
            inline=checkpoint.inline is not None,
            artifacts=_described(context.artifacts),
        )
        return EndedAttempt(continued, checkpoint.inline or b"")
    result = as_result(handler.job_type, value)
    # a job whose result is in the bucket is looked at when it has expired: what was given up goes with it
    in_row = 0 if context.unconfirmed else MAX_RESULT_IN_ROW
    stored = store_result(transport, job.bucket, job, result, in_row=in_row, check=context.check)
    returned = Returned(
        result=StoredBlob.of(stored), inline=stored.inline is not None, artifacts=_described(context.artifacts)
    )
    return EndedAttempt(returned, stored.inline or b"")


def _described(artifacts: list[Blob]) -> list[Artifact]:
    return [Artifact.of(one) for one in artifacts]


def _raised(error: BaseException, handler: Handler[Any, Any], *, stop_requested: bool) -> EndedAttempt:
    decides = decisive(error, stop_requested=stop_requested)
    name = sanitize.plain_text(type(decides).__name__, longest=_SHOWN_NAME)
    if isinstance(decides, Reject):
        # without a trace: it may hold what a tenant sent, and the client reads the reason
        return EndedAttempt(Raised(error="rejected", name=name, reason=reason_of(decides), permanent=True))
    trace = _trace(decides)
    if isinstance(decides, RetryLater):
        seconds = wait_of(decides)
        return EndedAttempt(
            Raised(error="retry-later", name=name, reason=reason_of(decides), seconds=seconds, trace=trace)
        )
    if isinstance(decides, BadResult):
        return EndedAttempt(Raised(error="bad-result", name=name, reason=str(decides), trace=trace))
    if stop_requested and isinstance(decides, (Stopped, asyncio.CancelledError)):
        return EndedAttempt(Raised(error="stopped", name=name))
    permanent = isinstance(decides, handler.job_type.retry.permanent)
    last = not isinstance(decides, Exception)
    return EndedAttempt(Raised(error="error", name=name, permanent=permanent, last=last, trace=trace))


def _trace(error: BaseException) -> str | None:
    """The trace of what a handler raised, if it can be written: its end says what was raised."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - a __str__ may raise anything
        return None
    return sanitize.plain_text(text[-MAX_LOG_TEXT:], longest=MAX_LOG_TEXT)

"""One attempt at a claimed job: run its handler under a heartbeat, then settle."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coatcheck.authoring.context import Stopped
from coatcheck.authoring.retry import Reject
from coatcheck.authoring.types import Continue, Handler
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import SECOND
from coatcheck.core.flows.notify import notify_deliverer
from coatcheck.core.job import Blob, Job
from coatcheck_worker.dependencies import Dependencies, Disposition
from coatcheck_worker.run import settle
from coatcheck_worker.run.handler_errors import decisive
from coatcheck_worker.run.handler_secrets import read_secret
from coatcheck_worker.run.heartbeat import Heartbeat, StopReason
from coatcheck_worker.run.job_context import JobContext
from coatcheck_worker.storage.orphans import discard_attempt
from coatcheck_worker.storage.results import as_result, store_checkpoint, store_result

log = logging.getLogger(__name__)

UNRESPONSIVE_EXIT_STATUS = 75
"""Exit status of a worker that was ended because a handler did not stop (EX_TEMPFAIL of sysexits.h)."""


FORKED_EXIT_STATUS = 70
"""Exit status of a child of a handler that returned from it (EX_SOFTWARE)."""


class JobAttempt:
    """The attempt `job.attempt`, held by this process.

    `deadline` is when the process itself must be done (milliseconds), if it has one. `on_forced_exit` gets the
    disposition if the handler does not stop and the process has to be ended.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        job: Job,
        handler: Handler[Any, Any],
        *,
        deadline: int | None,
        on_forced_exit: Callable[[Disposition], None],
    ) -> None:
        self._dependencies, self._job, self._handler, self._on_forced_exit = dependencies, job, handler, on_forced_exit
        self._policy = handler.job_type.retry
        self._settling = threading.Lock()
        run_deadline = (job.claimed_at or dependencies.clock()) + job.timeout
        self.heartbeat = Heartbeat(
            dependencies.transport,
            dependencies.settings.table,
            job,
            lease=dependencies.settings.lease_ms,
            deadline=run_deadline if deadline is None else min(run_deadline, deadline),
            clock=dependencies.clock,
            on_unresponsive=self._end_process,
            ticker=dependencies.ticker,
        )

    def describe(self) -> str:
        """Describe which job this is and how long it has run, as in `job_1 (text.words), which has run for 12 s`."""
        now = self._dependencies.clock()
        seconds = (now - (self._job.claimed_at or now)) // SECOND
        return f"{self._job.id} ({self._job.type}), which has run for {seconds} s"

    def run(self) -> Disposition:
        """Run the handler and settle. Raises AwsError when the settling write cannot be sent: the lease decides."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="coatcheck-", ignore_cleanup_errors=True)
        except OSError as error:
            return settle.not_begun(self._dependencies, self._job, error)
        with folder as workdir, self.heartbeat:
            run(self._dependencies.transport, notify_deliverer(self._dependencies.settings, self._job))
            context = JobContext(
                self._dependencies.transport,
                self._dependencies.settings.bucket,
                self._job,
                self.heartbeat,
                checkpoint=None,
                workdir=Path(workdir),
                clock=self._dependencies.clock,
                read_secret=partial(read_secret, self._dependencies),
            )
            try:
                settling = self._store(self._call_handler(context), context)
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises ends its attempt, not the worker
                return self._ended_by(decisive(error, stop_requested=self.heartbeat.stop is not None))
            # outside the try: a write that fails may still have been made, and then what it points to must stay
            with self._settling:
                return settling()

    def _call_handler(self, context: JobContext) -> Any:
        # the attempt may have to end before it began: the claim may have taken longer than there was time
        context.check()
        context.checkpoint = self._checkpoint()
        given, process = self._input(), os.getpid()
        try:
            value = self._handler.run(given, context)
            if inspect.isawaitable(value):
                return asyncio.run(_until_stopped(value, self.heartbeat))
            return value
        finally:
            if os.getpid() != process:
                # the handler forked, and its child came back: it must not settle the attempt a second time
                os._exit(FORKED_EXIT_STATUS)

    def _input(self) -> Any:
        text = self._load(self._job.input, s3_keys.input_key(self._job))
        try:
            return self._handler.job_type.input.model_validate_json(text)
        except ValidationError as error:
            raise Reject(
                f"the input no longer fits {self._job.type} ({error.error_count()} errors): submit the job anew"
            ) from None

    def _checkpoint(self) -> Any:
        saved = self._job.checkpoint
        return None if saved is None else json.loads(self._load(saved, s3_keys.checkpoint_key(self._job, saved.sha256)))

    def _load(self, blob: Blob, key: str) -> bytes:
        if blob.inline is not None:
            return blob.inline
        stream = self._dependencies.transport.send(s3.get(self._dependencies.settings.bucket, key))
        if stream is None:
            raise Reject("the stored input or checkpoint is no longer kept: submit the job anew")
        with stream:
            return bytes(stream.read())

    def _store(self, value: Any, context: JobContext) -> Callable[[], Disposition]:
        """Store what the handler returned. Returns the settling write, which is still to be sent."""
        dependencies, job = self._dependencies, self._job
        bucket, table, made = dependencies.settings.bucket, dependencies.settings.table, context.artifacts
        if isinstance(value, Continue):
            checkpoint = store_checkpoint(dependencies.transport, bucket, job, value.checkpoint)
            if made:
                dependencies.transport.send(job_items.put_artifacts(table, job, made, more_legs=True))
            return partial(settle.continued, dependencies, job, checkpoint, len(made))
        result = as_result(self._handler.job_type, value)
        # a job whose result is in the bucket is looked at when it has expired: what was given up goes with it
        in_row = 0 if context.unconfirmed else MAX_RESULT_IN_ROW
        stored = store_result(dependencies.transport, bucket, job, result, in_row=in_row, check=context.check)
        if made:
            dependencies.transport.send(job_items.put_artifacts(table, job, made))
        return partial(settle.succeeded, dependencies, job, stored, len(made))

    def _ended_by(self, error: BaseException) -> Disposition:
        if self.heartbeat.stop is not None and isinstance(error, (Stopped, asyncio.CancelledError)):
            return self._stop()
        if isinstance(error, AwsError) and self.heartbeat.stop is StopReason.LEASE_LOST:
            return self._stop()
        # the client reads the reason, and it may hold what a tenant sent
        trace = None if isinstance(error, Reject) else error
        log.warning(
            "%s: attempt %d failed: %s", self._job.id, self._job.counted_attempt, type(error).__name__, exc_info=trace
        )
        with self._settling:
            disposition = settle.raised(self._dependencies, self._job, self._policy, error)
        discard_attempt(self._dependencies, self._job)
        return disposition

    def _stop(self) -> Disposition:
        stop = self.heartbeat.stop or StopReason.HANDED_BACK
        with self._settling:
            disposition = self._settle_stopped(stop)
        discard_attempt(self._dependencies, self._job)
        return disposition

    def _settle_stopped(self, stop: StopReason) -> Disposition:
        return settle.stopped(self._dependencies, self._job, self._policy, stop, deadline=self.heartbeat.deadline)

    def _end_process(self, stop: StopReason) -> None:
        """The handler does not stop: settle the attempt without it, then end it with its process."""
        if not self._settling.acquire(blocking=False):
            return
        log.error("%s does not stop (%s): ending the process", self._job.id, stop.value)
        try:
            self._on_forced_exit(self._settle_stopped(stop))
        except Exception:
            # the process has to end, whatever the error was
            with contextlib.suppress(Exception):
                log.exception("%s could not be settled; its lease will run out", self._job.id)
        self._dependencies.end_process(UNRESPONSIVE_EXIT_STATUS)


async def _until_stopped(work: Any, heartbeat: Heartbeat) -> Any:
    """Await `work`; when the heartbeat requests a stop, cancel it at its next await."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)

    def cancel() -> None:
        # the loop is closed when the handler has finished: there is nothing left to cancel
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    heartbeat.call_when_stopped(cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if heartbeat.stop is None:
            raise
        raise Stopped(heartbeat.stop.value) from None

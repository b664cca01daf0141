"""One attempt at a job that was claimed: run its handler under a heartbeat, then settle."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coatcheck import blobs
from coatcheck.calls import AwsError
from coatcheck.context import Stopped
from coatcheck.record import Blob, Job
from coatcheck.retry import Reject
from coatcheck.table import items
from coatcheck.types import Continue, Handler
from worker import settle
from worker.context import JobContext
from worker.heart import Heart, Stop
from worker.leftovers import discard
from worker.output import as_result, store_checkpoint, store_result
from worker.tools import Tools, Verdict
from worker.webhooks.wake import wake_deliverer

log = logging.getLogger(__name__)

STUBBORN_EXIT = 75
"""Exit status of a worker that was ended because a handler would not stop (EX_TEMPFAIL of sysexits.h)."""


class Attempt:
    """The attempt `job.attempt`, held by this process.

    `deadline` is when the process itself has to be done (milliseconds), if it has one. `last_words` gets the
    verdict in the worst case, in which the handler does not stop and the process is ended under it.
    """

    def __init__(
        self,
        tools: Tools,
        job: Job,
        handler: Handler[Any, Any],
        *,
        deadline: int | None,
        last_words: Callable[[Verdict], None],
    ) -> None:
        self._tools, self._job, self._handler, self._last_words = tools, job, handler, last_words
        self._policy = handler.job_type.retry
        self._settling = threading.Lock()
        run_deadline = (job.claimed_at or tools.clock()) + job.timeout
        self.heart = Heart(
            tools.aws,
            tools.deployment.table,
            job,
            lease=tools.deployment.lease_ms,
            deadline=run_deadline if deadline is None else min(run_deadline, deadline),
            clock=tools.clock,
            on_stubborn=self._end_process,
            pace=tools.pace,
        )

    def run(self) -> Verdict:
        """Run the handler and settle. Raises AwsError when the settling write cannot be sent: the lease decides."""
        with tempfile.TemporaryDirectory(prefix="coatcheck-") as workdir, self.heart:
            wake_deliverer(self._tools, self._job)
            context = JobContext(
                self._tools.aws,
                self._tools.deployment.bucket,
                self._job,
                self.heart,
                checkpoint=None,
                workdir=Path(workdir),
                clock=self._tools.clock,
            )
            try:
                settling = self._store(self._call_handler(context), context)
            except Stopped:
                return self._stop()
            except Exception as error:  # noqa: BLE001 - whatever a handler raises ends its attempt, not the worker
                return self._fail(error)
            # outside the try: when this write fails it may still have been made, and then what it points to must stay
            with self._settling:
                return settling()

    def _call_handler(self, context: JobContext) -> Any:
        # it may have to end before it began: the claim may have taken longer than there was time
        context.check()
        context.checkpoint = self._checkpoint()
        value = self._handler.run(self._input(), context)
        if inspect.isawaitable(value):
            return asyncio.run(_until_stopped(value, self.heart))
        return value

    def _input(self) -> Any:
        text = self._load(self._job.input, blobs.input_key(self._job))
        try:
            return self._handler.job_type.input.model_validate_json(text)
        except ValidationError as error:
            raise Reject(f"the input does not fit the job type any more: {error.error_count()} errors") from None

    def _checkpoint(self) -> Any:
        saved = self._job.checkpoint
        return None if saved is None else json.loads(self._load(saved, blobs.checkpoint_key(self._job, saved.sha256)))

    def _load(self, blob: Blob, key: str) -> bytes:
        if blob.inline is not None:
            return blob.inline
        stream = self._tools.aws.send(blobs.get(self._tools.deployment.bucket, key))
        if stream is None:
            raise Reject("what the job works on is no longer kept")
        with stream:
            return bytes(stream.read())

    def _store(self, value: Any, context: JobContext) -> Callable[[], Verdict]:
        """Store what the handler returned; answers the write that is left to be made."""
        tools, job = self._tools, self._job
        bucket = tools.deployment.bucket
        if isinstance(value, Continue):
            checkpoint = store_checkpoint(tools.aws, bucket, job, value.checkpoint)
            return partial(settle.continued, tools, job, checkpoint)
        result = as_result(self._handler.job_type, value)
        stored = store_result(tools.aws, bucket, job, result, check=context.check)
        if context.made:
            tools.aws.send(items.put_artifacts(tools.deployment.table, job, context.made))
        return partial(settle.succeeded, tools, job, stored, len(context.made))

    def _fail(self, error: Exception) -> Verdict:
        if isinstance(error, AwsError) and self.heart.stop is Stop.LEASE_LOST:
            return self._stop()
        # a reason is the client's to read, and may hold what a tenant sent
        trace = None if isinstance(error, Reject) else error
        log.warning("%s: attempt %d failed: %s", self._job.id, self._job.attempt, type(error).__name__, exc_info=trace)
        with self._settling:
            verdict = settle.raised(self._tools, self._job, self._policy, error)
        discard(self._tools, self._job)
        return verdict

    def _stop(self) -> Verdict:
        stop = self.heart.stop or Stop.HANDED_BACK
        with self._settling:
            verdict = self._settle_stopped(stop)
        discard(self._tools, self._job)
        return verdict

    def _settle_stopped(self, stop: Stop) -> Verdict:
        return settle.stopped(self._tools, self._job, self._policy, stop, deadline=self.heart.deadline)

    def _end_process(self, stop: Stop) -> None:
        """The handler does not stop: settle over its head, then end it with its process."""
        if not self._settling.acquire(blocking=False):
            return
        log.error("%s does not stop (%s): ending the process", self._job.id, stop.value)
        try:
            self._last_words(self._settle_stopped(stop))
        except Exception:
            # the process has to end, whatever it was
            with contextlib.suppress(Exception):
                log.exception("%s could not be settled; its lease will run out", self._job.id)
        self._tools.end_process(STUBBORN_EXIT)


async def _until_stopped(work: Any, heart: Heart) -> Any:
    """Await `work`; when the heart says stop, cancel it at its next await."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)

    def cancel() -> None:
        # the loop is closed when the handler is through: there is nothing to cancel any more
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    heart.when_stopped(cancel)
    try:
        return await task
    except asyncio.CancelledError:
        if heart.stop is None:
            raise
        raise Stopped(heart.stop.value) from None

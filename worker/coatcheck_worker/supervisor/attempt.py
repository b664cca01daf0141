"""One attempt at a claimed job: have a runner run its handler under a heartbeat, then settle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW, free_bytes_for_checkpoint
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import SECOND
from coatcheck.core.flows.count_job import claimed, stored
from coatcheck.core.flows.notify import notify_deliverer
from coatcheck.core.job import Blob, Job, Progress
from coatcheck.core.log import log_context
from coatcheck.core.pack import pack
from coatcheck.core.trace import TraceContext
from coatcheck.core.tracer import Span, SpanKind, described
from coatcheck_worker.dependencies import Dependencies, Disposition
from coatcheck_worker.orphans import discard_attempt
from coatcheck_worker.protocol import Continued, Outcome, Raised, Returned, RunJob
from coatcheck_worker.runners import Died, Ended, Runner, RunnerNotStarted
from coatcheck_worker.s3_signing import AttemptKeys
from coatcheck_worker.supervisor import settle
from coatcheck_worker.supervisor.handler_secrets import read_secret
from coatcheck_worker.supervisor.heartbeat import Heartbeat, StopReason
from coatcheck_worker.supervisor.runner_log import write_failure

log = logging.getLogger(__name__)


class InputGone(Exception):
    """The input or the checkpoint is no longer in the bucket."""


class JobAttempt:
    """The attempt `job.attempt`, held by this process.

    `deadline` is when the process itself must be done (milliseconds), if it has one.
    """

    def __init__(self, dependencies: Dependencies, job: Job, *, deadline: int | None) -> None:
        self._dependencies, self._job = dependencies, job
        self._served = dependencies.runners.served[job.type]
        run_deadline = (job.claimed_at or dependencies.clock()) + job.timeout
        self.heartbeat = Heartbeat(
            dependencies.transport,
            dependencies.settings.table,
            job,
            lease=dependencies.settings.lease_ms,
            deadline=run_deadline if deadline is None else min(run_deadline, deadline),
            clock=dependencies.clock,
            ticker=dependencies.ticker,
        )

    def describe(self) -> str:
        """Describe which job this is and how long it has run, as in `job_1 (text.words), which has run for 12 s`."""
        now = self._dependencies.clock()
        seconds = (now - (self._job.claimed_at or now)) // SECOND
        return f"{self._job.id} ({self._job.type}), which has run for {seconds} s"

    def run(self) -> Disposition:
        """Run the handler and settle. Raises AwsError when a write cannot be sent: the lease decides."""
        job = self._job
        attributes = described(job=job.id, type=job.type, tenant=job.tenant, attempt=job.counted_attempt, lane=job.lane)
        with self._dependencies.tracer.span(f"run {job.type}", SpanKind.CONSUMER, job.trace, attributes) as span:
            trace_id = span.context.trace_id if span.context else None
            with log_context(tenant=job.tenant, attempt=job.counted_attempt, trace_id=trace_id):
                return self._run(span)

    def _run(self, span: Span) -> Disposition:
        transport, settings = self._dependencies.transport, self._dependencies.settings
        with self.heartbeat:
            run(transport, claimed(settings.table, self._job))
            run(transport, notify_deliverer(settings, self._job))
            if self.heartbeat.stop is not None:
                return self._stop()
            try:
                ended = self._run_in_runner(span.context)
            except (OSError, RunnerNotStarted) as error:
                return settle.not_begun(self._dependencies, self._job, error)
            except InputGone as gone:
                rejected = Raised(error="rejected", name="Reject", reason=str(gone), permanent=True)
                return self._failed(rejected)
            except AwsError as error:
                return self._failed(Raised(error="error", name=type(error).__name__))
            if isinstance(ended, Died):
                span.fail("crashed")
            elif isinstance(ended.outcome, Raised):
                span.fail(ended.outcome.error)
            return self._settle(ended)

    def _run_in_runner(self, trace: TraceContext | None) -> Ended | Died:
        job = self._job
        given = self._load(job.input, s3_keys.input_key(job))
        saved = job.checkpoint
        checkpoint = b"" if saved is None else self._load(saved, s3_keys.checkpoint_key(job, saved.sha256))
        keys = AttemptKeys.of(job, given)
        with self._dependencies.runners.take(job.type) as runner, runner.workdir() as workdir:
            self._connect(runner)
            try:
                return runner.run(
                    self._request(len(given), workdir, trace),
                    given + checkpoint,
                    _Port(self._dependencies, job, self.heartbeat, keys),
                )
            finally:
                self.heartbeat.call_when_stopped(lambda _: None)
                self.heartbeat.call_when_unresponsive(lambda _: None)

    def _connect(self, runner: Runner) -> None:
        """Let the heartbeat tell the runner to stop, and end it if it does not."""

        def end(stop: StopReason) -> None:
            log.error("%s does not stop (%s): ending its process", self._job.id, stop.value)
            runner.kill()

        self.heartbeat.call_when_unresponsive(end)
        self.heartbeat.call_when_stopped(lambda stop: runner.stop(stop.value))

    def _request(self, input_size: int, workdir: Path, trace: TraceContext | None) -> RunJob:
        job = self._job
        return RunJob(
            tenant=job.tenant,
            id=job.id,
            type=job.type,
            lane=job.lane,
            created_at=job.created_at,
            attempt=job.attempt,
            counted_attempt=job.counted_attempt,
            counted_max_attempts=job.counted_max_attempts,
            earlier_artifacts=job.legs.artifacts,
            deadline=self.heartbeat.deadline,
            bucket=self._dependencies.settings.bucket,
            workdir=str(workdir),
            input_size=input_size,
            has_checkpoint=job.checkpoint is not None,
            traceparent=trace.traceparent if trace else None,
        )

    def _load(self, blob: Blob, key: str) -> bytes:
        if blob.inline is not None:
            return blob.inline
        stream = self._dependencies.transport.send(s3.get(self._dependencies.settings.bucket, key))
        if stream is None:
            raise InputGone("the stored input or checkpoint is no longer kept: submit the job anew")
        with stream:
            return bytes(stream.read())

    def _settle(self, ended: Ended | Died) -> Disposition:
        if isinstance(ended, Died):
            return self._stop() if self.heartbeat.stop is not None else self._crashed(ended)
        match ended.outcome:
            case Returned() as returned:
                return self._succeeded(returned, ended.inline)
            case Continued() as continued:
                return self._continued(continued, ended.inline)
            case Raised(error="stopped") if self.heartbeat.stop is not None:
                return self._stop()
            case Raised() if self.heartbeat.stop is StopReason.LEASE_LOST:
                return self._stop()
            case raised:
                return self._failed(raised)

    def _succeeded(self, returned: Returned, inline: bytes) -> Disposition:
        dependencies, job = self._dependencies, self._job
        if returned.inline and len(pack(inline)) > MAX_RESULT_IN_ROW:
            return self._crashed(Died("its process sent a result that is too large for the row"))
        result = returned.result.blob(inline if returned.inline else None)
        self._count_stored(returned, result)
        self._list_artifacts(returned, more_legs=False)
        return settle.succeeded(dependencies, job, result, len(returned.artifacts))

    def _continued(self, continued: Continued, inline: bytes) -> Disposition:
        if continued.inline and len(pack(inline)) > free_bytes_for_checkpoint(self._job):
            return self._crashed(Died("its process sent a checkpoint that is too large for the row"))
        self._count_stored(continued)
        self._list_artifacts(continued, more_legs=True)
        checkpoint = continued.checkpoint.blob(inline if continued.inline else None)
        return settle.continued(self._dependencies, self._job, checkpoint, len(continued.artifacts))

    def _count_stored(self, outcome: Outcome, *results: Blob) -> None:
        """Count what this leg has put into the bucket, before the write that points to it."""
        dependencies, made = self._dependencies, [artifact.blob() for artifact in outcome.artifacts]
        flow = stored(dependencies.settings.table, self._job, [*made, *results], now=dependencies.clock())
        run(dependencies.transport, flow)

    def _list_artifacts(self, outcome: Outcome, *, more_legs: bool) -> None:
        """Write the list of what this leg made, before the write that points to it."""
        made = [artifact.blob() for artifact in outcome.artifacts]
        if made:
            table = self._dependencies.settings.table
            self._dependencies.transport.send(job_items.put_artifacts(table, self._job, made, more_legs=more_legs))

    def _failed(self, raised: Raised) -> Disposition:
        failure = f"{self._job.id}: attempt {self._job.counted_attempt} failed: {raised.name}"
        write_failure(log, failure, raised.trace)
        disposition = settle.raised(self._dependencies, self._job, self._served, raised)
        discard_attempt(self._dependencies, self._job)
        return disposition

    def _crashed(self, died: Died) -> Disposition:
        log.error("%s: attempt %d crashed: %s", self._job.id, self._job.counted_attempt, died.cause)
        for line in died.output:
            log.error("its last output: %s", line)
        disposition = settle.crashed(self._dependencies, self._job, self._served, died.cause)
        discard_attempt(self._dependencies, self._job)
        return disposition

    def _stop(self) -> Disposition:
        stop = self.heartbeat.stop or StopReason.HANDED_BACK
        disposition = settle.stopped(
            self._dependencies, self._job, self._served, stop, deadline=self.heartbeat.deadline
        )
        discard_attempt(self._dependencies, self._job)
        return disposition


class _Port:
    """What the runner of one attempt may ask for."""

    def __init__(self, dependencies: Dependencies, job: Job, heartbeat: Heartbeat, keys: AttemptKeys) -> None:
        self._dependencies, self._job, self._heartbeat, self._keys = dependencies, job, heartbeat, keys

    def report_progress(self, progress: Progress) -> None:
        """Let the next renewal of the lease write it."""
        self._heartbeat.set_progress(progress)

    def read_secret(self, name: str) -> str:
        """Return a secret. Raises LookupError if there is none, and AwsError if it cannot be read."""
        return read_secret(self._dependencies, name)

    def checkpoint_room(self) -> int:
        """How many bytes of a checkpoint the row takes."""
        return free_bytes_for_checkpoint(self._job)

    def sign(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers that sign a request to S3. Raises NotAllowed."""
        return self._dependencies.sign(self._keys, method, url, headers)

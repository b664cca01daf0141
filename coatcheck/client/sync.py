"""The synchronous door: sends the calls of `core` over httpx and moves the bytes of uploads and results."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
import stamina

from coatcheck.client import core, uploads
from coatcheck.client.answers import Answer, Job
from coatcheck.client.connection import SECONDS_TO_ANSWER, Connection, is_server
from coatcheck.client.core import Request
from coatcheck.client.deadline import NEVER, Deadline
from coatcheck.client.errors import (
    CoatcheckError,
    ConnectionFailed,
    InvalidArgumentError,
    NotFinished,
    TransferFailed,
    shown,
)
from coatcheck.client.retries import Backoff
from coatcheck.client.transfer import PARTIAL, Incoming, Progress, Sink, appearing
from coatcheck.client.uploads import Body, Door, LocalFile
from coatcheck.client.webhooks import Webhooks

T = TypeVar("T")

_WAY_BACK = 0.5
"""Seconds of a time limit that are left for an answer to arrive in."""


class Client:
    """A Coatcheck server, as one tenant sees it. Use it as a context manager, or `close` it.

    `url` is the server's, without `/v1`. Calls that fail for a reason that may pass (no connection, 429, 502, 503,
    504) are sent again with growing pauses, or when `Retry-After` says, until `patience` seconds have gone by.
    `webhooks` are its endpoints and deliveries.
    Every method raises CoatcheckError: ProblemError for an error answer, ConnectionFailed when there was none.
    Raises InvalidArgumentError for a url or key that can never work.
    """

    def __init__(self, url: str, api_key: str, *, patience: float = 30.0) -> None:
        if not is_server(url):
            raise InvalidArgumentError(f"{url!r} is no server URL: it has to look like https://jobs.example.com")
        if not 0 <= patience < math.inf:
            raise InvalidArgumentError("patience is a number of seconds, at least 0")
        if not api_key.isascii() or not api_key.isprintable() or not api_key:
            raise InvalidArgumentError("an API key is printable ASCII characters")
        self._url = url.rstrip("/")
        self._credentials = {"Authorization": f"Bearer {api_key}"}
        # credentials are added call by call: presigned URLs go through the same connection and must not have them
        self._connection = Connection(self._url)
        self._patience = patience
        self.webhooks = Webhooks(self.send, self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def send(self, request: Request[T]) -> T:
        """Send any call of `coatcheck.client.core`, again where that is safe and may help, and read its answer."""
        return self._send(request, NEVER)

    def submit(self, job_type: str, job_input: Any, *, idempotency_key: str | None = None, **options: Any) -> Job:
        """Hand in a job and get it back as queued.

        `job_input` is what JSON can hold. `options` are the other fields of the submit body: `run_at`, `delay`,
        `queue_ttl`, `timeout`, `max_attempts`, `metadata`, `retention`, `webhook`. Without `idempotency_key` a random
        one makes sending again safe; give your own to make the whole program safe to run again.
        """
        body = {"type": job_type, "input": job_input, **options}
        return self.send(core.submit(body, uuid4().hex if idempotency_key is None else idempotency_key))

    def job(self, job_id: str, *, hold: float = 0.0) -> Job:
        """The job as it stands, or as it stands when done or after `hold` seconds (at most 25)."""
        return self.send(core.job(job_id, hold=hold))

    def watch(self, job_id: str, *, hold: float = 20.0) -> Iterator[Job]:
        """Look at a job again and again until it is done; the last one yielded is.

        Each look waits up to `hold` seconds at the server, and the next one comes when the server's Retry-After
        says: a small `hold` shows progress sooner, at the price of more calls.
        """
        while True:
            job = self.job(job_id, hold=hold)
            yield job
            if job.done:
                return
            time.sleep(core.pause(job))

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """The job once it is done, however it ended; after `timeout` seconds (None: never) it is an error.

        Nothing extends `timeout`: no server that is slow, holds its answer back, or asks for patience. Raises
        NotFinished with the job as it was last seen, ConnectionFailed or ProblemError where it was never seen, and
        InvalidArgumentError for a `timeout` that is not above 0 (to look once, use `job`).
        """
        if timeout is not None and not timeout > 0:
            raise InvalidArgumentError("timeout is a number of seconds above 0, or None")
        deadline = Deadline.after(timeout)
        seen: Job | None = None
        while True:
            hold = min(core.LONGEST_HOLD, max(0.0, deadline.left - _WAY_BACK))
            try:
                seen = self._send(core.job(job_id, hold=hold), deadline)
            except CoatcheckError as error:
                if seen is None or deadline.left:
                    raise
                raise NotFinished(seen) from error
            if seen.done:
                return seen
            pause = core.pause(seen)
            if pause >= deadline.left:
                # one look more at the end, whatever the advice
                pause = max(0.0, deadline.left - _WAY_BACK)
                if not pause:
                    raise NotFinished(seen)
            time.sleep(pause)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; it is `canceled`, or `canceling` until its handler notices."""
        return self.send(core.cancel(job_id))

    def replay(self, job_id: str) -> Job:
        """A new job with the type and the input of this one."""
        return self.send(core.replay(job_id))

    def delete(self, job_id: str) -> None:
        """Purge a finished job now, with its input, result and artifacts."""
        self.send(core.delete(job_id))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """Your jobs, newest first, fetched page by page as they are consumed.

        `filters`: `status`, `type`, `created_after`, `created_before`, and `limit`, the size of a page (1 to 100).
        """
        return (Job(view) for view in self._items("job", "/v1/jobs", {"limit": str(core.PAGE), **filters}))

    def events(self, job_id: str) -> Iterator[Mapping[str, Any]]:
        """The history of a job, oldest first."""
        return self._items("event", core.events_path(job_id), {})

    def job_types(self) -> Iterator[Mapping[str, Any]]:
        """What this server can do: name, title, description, schemas and limits of each job type."""
        return self._items("job type", "/v1/job-types", {})

    def job_type(self, name: str) -> Mapping[str, Any]:
        """The same of one job type."""
        return self.send(core.job_type(name))

    def result_link(self, job_id: str, name: str | None = None) -> Mapping[str, Any]:
        """Where the result, or the artifact `name`, can be fetched for some minutes: url, expires_at, size, …"""
        return self.send(core.result_link(job_id, name))

    def upload(
        self,
        path: Path,
        content_type: str | None = None,
        *,
        progress: Progress | None = None,
        resume: str | None = None,
        begun: Callable[[str], None] | None = None,
    ) -> str:
        """Send a file for use as an input; the id returned goes into the input as `{"$upload": id}`.

        The content type is guessed from the name unless given. `progress` is called with bytes sent and size, one
        call at a time. A file above 64 MB goes in parts, four at a time: `begun` is called with the id before the
        first, and when it does not come to its end, `resume=id` sends what is missing, for a day. Raises OSError when
        the file cannot be read, TransferFailed when the storage refuses it or it was changed meanwhile, and
        InvalidArgumentError when `resume` is of another file.
        """
        door = Door(self.send, self._put)
        return uploads.upload(door, LocalFile.of(path, content_type), progress=progress, resume=resume, begun=begun)

    def read_result(self, job: Job, sink: Sink, name: str | None = None, *, progress: Progress | None = None) -> None:
        """Write the result of a finished job, or its artifact `name`, into `sink` as it arrives, in bounded memory.

        A download that breaks off goes on from there, by a fresh link, as long as each try brings something more.
        `progress` is called with bytes received and size. Raises NotFinished for an unfinished job, and
        TransferFailed when what was written is not whole or has not the sha256 that the job says.
        """
        if not job.done:
            raise NotFinished(job)
        incoming = Incoming(sink, job.stored(name), progress)
        while not self._received(job.id, name, incoming):
            pass
        incoming.finish()

    def download(self, job: Job, path: Path, name: str | None = None, *, progress: Progress | None = None) -> None:
        """Write the result of a finished job, or its artifact `name`, to a file, which appears only when whole.

        Raises what `read_result` raises, and OSError when the file cannot be written.
        """
        stored = job.stored(name)
        with appearing(path, stored.size if stored else 0) as file:
            self.read_result(job, file, name, progress=progress)

    def _received(self, job_id: str, name: str | None, incoming: Incoming) -> bool:
        """Whether what was missing has come; if not, some of it has. Raises TransferFailed when nothing did."""
        had = incoming.size
        response = self._again(lambda: self._open_result(job_id, name, had), repeatable=True)
        with closing(response):
            start = incoming.begin(response.status_code, response.headers)
            try:
                incoming.take(self._connection.chunks(response, incoming.missing), start=start)
            except ConnectionFailed as error:
                if incoming.size > had:
                    return False
                raise TransferFailed(f"the download broke off after {had} bytes: {error.reason}") from error
        return True

    def _send(self, request: Request[T], deadline: Deadline) -> T:
        return self._again(lambda: self._once(request, deadline), repeatable=request.repeatable, deadline=deadline)

    def _again(self, call: Callable[[], T], *, repeatable: bool, deadline: Deadline = NEVER) -> T:
        until = Deadline(min(deadline.at, Deadline.after(self._patience).at))
        return stamina.RetryingCaller(attempts=None, timeout=None)(Backoff(until, repeatable=repeatable), call)

    def _once(self, request: Request[T], deadline: Deadline) -> T:
        limit = min(SECONDS_TO_ANSWER + request.hold, deadline.left)
        return core.read(request, self._connection.fetch(**self._sent(request), limit=limit))

    def _items(self, shape: str, path: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        page = self.send(core.page(shape, path, query))
        yield from page.data
        while page.next is not None:
            page = self.send(core.page(shape, path, query, page.next))
            yield from page.data

    def _sent(self, request: Request[Any]) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": self._url + request.path,
            "params": request.query,
            "headers": {**request.headers, **self._credentials},
            "content": request.body,
        }

    def _open_result(self, job_id: str, name: str | None, start: int) -> httpx.Response:
        """The result from byte `start` on, if it is answered with 206, or else from its first."""
        request = core.result(job_id, name, start=start)
        response = self._connection.open(**self._sent(request))
        if response.status_code == 200 or (start and response.status_code == PARTIAL):
            return response
        location = core.read(request, self._connection.whole(response))
        stored = self._connection.open("GET", location, headers=request.headers)
        if stored.status_code == 200 or (start and stored.status_code == PARTIAL):
            return stored
        raise _refused("the result could not be fetched", self._connection.whole(stored))

    def _put(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> None:
        def once() -> None:
            answer = self._connection.put(method, url, headers, body())
            if answer.status >= 300:
                raise _refused("the upload was refused", answer)

        self._again(once, repeatable=True)


def _refused(what: str, answer: Answer) -> TransferFailed:
    # S3 says why in XML: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    code = re.search(rb"<Code>(\w{1,100})</Code>", answer.body)
    why = f" ({code[1].decode()})" if code else ""
    return TransferFailed(f"{what}: {shown(answer.url)} answered {answer.status}{why}", answer.status)

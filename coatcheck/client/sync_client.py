"""The synchronous client: sends the calls of `operations` over httpx and transfers the bytes of uploads and results."""

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

from coatcheck.client import file_upload, operations
from coatcheck.client.admin_client import Admin
from coatcheck.client.backoff import Backoff
from coatcheck.client.credentials import Credentials, TokenProvider
from coatcheck.client.deadline import NO_DEADLINE, Deadline
from coatcheck.client.event_follower import FollowTransport, follow
from coatcheck.client.exceptions import (
    CoatcheckError,
    ConnectionFailed,
    InvalidArgumentError,
    NotFinished,
    TransferFailed,
    redact_url,
)
from coatcheck.client.file_download import (
    PARTIAL_CONTENT,
    ProgressCallback,
    ResultDownload,
    SupportsWrite,
    atomic_write,
)
from coatcheck.client.file_upload import Body, LocalFile, UploadTransport
from coatcheck.client.http_transport import RESPONSE_TIMEOUT, HttpTransport, is_server
from coatcheck.client.job import Job
from coatcheck.client.operations import Request
from coatcheck.client.responses import Response
from coatcheck.client.webhooks_client import Webhooks

T = TypeVar("T")

_RESPONSE_MARGIN = 0.5
"""Seconds of a time limit that are left for an answer to arrive in."""


class Client:
    """A Coatcheck server, as one tenant sees it. Use it as a context manager, or `close` it.

    `url` is the server's, without `/v1`. Calls that fail for a reason that may pass (no connection, 429, 502, 503,
    504) are sent again with growing pauses, or when `Retry-After` says, until `retry_timeout` seconds have gone by.
    `api_key` may be any bearer token too. `token` in its place returns one; it is called for each request, so it should
    keep a token until shortly before that expires. `webhooks` are its endpoints and deliveries.
    Every method raises CoatcheckError: ProblemError for an error answer, ConnectionFailed when there was none.
    Raises InvalidArgumentError for a url or key that can never work.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        token: TokenProvider | None = None,
        retry_timeout: float = 30.0,
    ) -> None:
        if not is_server(url):
            raise InvalidArgumentError(f"{url!r} is not a server URL: it must look like https://jobs.example.com")
        if not 0 <= retry_timeout < math.inf:
            raise InvalidArgumentError("retry_timeout must be a number of seconds, at least 0")
        self._url = url.rstrip("/")
        self._credentials = Credentials.of(api_key, token)
        # credentials are added call by call: presigned URLs go through the same connection and must not have them
        self._transport = HttpTransport(self._url)
        self._retry_timeout = retry_timeout
        self.webhooks: Webhooks = Webhooks(self.send, self._paginate)
        self.admin: Admin = Admin(self.send, self._paginate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def send(self, request: Request[T]) -> T:
        """Send any call of `coatcheck.client.operations`, with retries where they are safe; return its answer."""
        return self._send(request, NO_DEADLINE)

    def submit(self, job_type: str, job_input: Any, *, idempotency_key: str | None = None, **options: Any) -> Job:
        """Submit a job and return it as queued.

        `job_input` is what JSON can hold. `options` are the other fields of the submit body: `run_at`, `delay`,
        `queue_ttl`, `timeout`, `max_attempts`, `priority`, `metadata`, `retention`, `webhook`. Without
        `idempotency_key` a random one makes sending again safe; give your own to make the whole program safe to run
        again.
        """
        body = {"type": job_type, "input": job_input, **options}
        return self.send(operations.submit(body, uuid4().hex if idempotency_key is None else idempotency_key))

    def job(self, job_id: str, *, long_poll: float = 0.0) -> Job:
        """The job as it stands, or as it stands when done or after `long_poll` seconds (at most 25)."""
        return self.send(operations.job(job_id, long_poll=long_poll))

    def watch(self, job_id: str, *, long_poll: float = 20.0) -> Iterator[Job]:
        """Poll a job until it is done; the last job yielded is done.

        Each poll waits up to `long_poll` seconds at the server, and the next one comes when the server's Retry-After
        says. A small `long_poll` shows progress sooner, at the price of more calls.
        """
        while True:
            job = self.job(job_id, long_poll=long_poll)
            yield job
            if job.done:
                return
            time.sleep(operations.poll_interval(job))

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """The job once it is done, however it ended; after `timeout` seconds (None: never) it is an error.

        Nothing extends `timeout`: no server that is slow, holds its answer back, or asks for patience. Raises
        NotFinished with the job as it was last seen, ConnectionFailed or ProblemError where it was never seen, and
        InvalidArgumentError for a `timeout` that is not above 0 (to poll once, use `job`).
        """
        if timeout is not None and not timeout > 0:
            raise InvalidArgumentError("timeout must be a number of seconds above 0, or None")
        deadline = Deadline.after(timeout)
        seen: Job | None = None
        while True:
            long_poll = min(operations.MAX_LONG_POLL, max(0.0, deadline.left - _RESPONSE_MARGIN))
            try:
                seen = self._send(operations.job(job_id, long_poll=long_poll), deadline)
            except CoatcheckError as error:
                if seen is None or deadline.left:
                    raise
                raise NotFinished(seen) from error
            if seen.done:
                return seen
            poll_interval = operations.poll_interval(seen)
            if poll_interval >= deadline.left:
                # one more poll at the end, whatever the advice
                poll_interval = max(0.0, deadline.left - _RESPONSE_MARGIN)
                if not poll_interval:
                    raise NotFinished(seen)
            time.sleep(poll_interval)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; it is `canceled`, or `canceling` until its handler notices."""
        return self.send(operations.cancel(job_id))

    def replay(self, job_id: str) -> Job:
        """A new job with the type and the input of this one."""
        return self.send(operations.replay(job_id))

    def delete(self, job_id: str) -> None:
        """Purge a finished job now, with its input, result and artifacts."""
        self.send(operations.delete(job_id))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """Your jobs, newest first, fetched page by page as they are consumed.

        `filters`: `status`, `type`, `created_after`, `created_before`, and `limit`, the size of a page (1 to 100).
        """
        return (
            Job(view) for view in self._paginate("job", "/v1/jobs", {"limit": str(operations.PAGE_SIZE), **filters})
        )

    def events(self, job_id: str) -> Iterator[Mapping[str, Any]]:
        """The history of a job, oldest first."""
        return self._paginate("event", operations.events_path(job_id), {})

    def follow(self, job_id: str) -> Iterator[Mapping[str, Any]]:
        """The events of a job so far, oldest first, and what happens then, as it happens, until the job is done.

        Between them comes its progress, as `{"type": "progress", "fraction", "message"}`. A lost connection is made
        again: no event is missed or comes twice. A server that does not stream is polled.
        """
        transport = FollowTransport(
            self._open_events,
            lambda response: map(bytes, self._transport.chunks(response, math.inf)),
            self.events,
            lambda followed: self.watch(followed, long_poll=0.0),
        )
        return follow(transport, job_id)

    def job_types(self) -> Iterator[Mapping[str, Any]]:
        """What this server can do: name, title, description, schemas and limits of each job type."""
        return self._paginate("job type", "/v1/job-types", {})

    def job_type(self, name: str) -> Mapping[str, Any]:
        """The same of one job type."""
        return self.send(operations.job_type(name))

    def result_link(self, job_id: str, name: str | None = None) -> Mapping[str, Any]:
        """Where the result, or the artifact `name`, can be fetched for some minutes: url, expires_at, size, …"""
        return self.send(operations.result_link(job_id, name))

    def upload(
        self,
        path: Path,
        content_type: str | None = None,
        *,
        progress: ProgressCallback | None = None,
        resume: str | None = None,
        on_started: Callable[[str], None] | None = None,
    ) -> str:
        """Send a file for use as an input; the id returned goes into the input as `{"$upload": id}`.

        The content type is guessed from the name unless given. `progress` is called with bytes sent and size, one
        call at a time. A file above 64 MB goes in parts, four at a time: `on_started` is called with the id before the
        first, and when it does not come to its end, `resume=id` sends what is missing, for a day. Raises OSError when
        the file cannot be read, TransferFailed when the storage refuses it or it was changed meanwhile, and
        InvalidArgumentError when `resume` is of another file.
        """
        transport = UploadTransport(self.send, self._put_bytes)
        return file_upload.upload(
            transport, LocalFile.of(path, content_type), progress=progress, resume=resume, on_started=on_started
        )

    def read_result(
        self, job: Job, output: SupportsWrite, name: str | None = None, *, progress: ProgressCallback | None = None
    ) -> None:
        """Write the result of a finished job, or its artifact `name`, into `output` as it arrives, in bounded memory.

        A broken download continues where it stopped, by a fresh link, as long as each try brings more bytes.
        `progress` is called with bytes received and size. Raises NotFinished for an unfinished job, and
        TransferFailed when what was written is incomplete or does not have the job's sha256.
        """
        # `output` may keep what it gets
        self._fetch_result(job, lambda piece: output.write(bytes(piece)), name, progress)

    def download(
        self, job: Job, path: Path, name: str | None = None, *, progress: ProgressCallback | None = None
    ) -> None:
        """Write the result of a finished job, or its artifact `name`, to a file, which appears only when whole.

        Raises what `read_result` raises, and OSError when the file cannot be written.
        """
        stored = job.stored(name)
        with atomic_write(path, stored.size if stored else 0) as file:
            self._fetch_result(job, file.write, name, progress)

    def _fetch_result(
        self,
        job: Job,
        write: Callable[[bytes | memoryview], object],
        name: str | None,
        progress: ProgressCallback | None,
    ) -> None:
        if not job.done:
            raise NotFinished(job)
        with closing(ResultDownload(write, job.stored(name), progress)) as incoming:
            while not self._continue_download(job.id, name, incoming):
                pass
            incoming.finish()

    def _continue_download(self, job_id: str, name: str | None, incoming: ResultDownload) -> bool:
        """Whether what was missing has come; if not, some of it has. Raises TransferFailed when nothing did."""
        received_before = incoming.size
        response = self._with_retries(lambda: self._open_result(job_id, name, received_before), safe_to_retry=True)
        with closing(response):
            start = incoming.begin(response.status_code, response.headers)
            try:
                incoming.write_new(self._transport.chunks(response, incoming.remaining), start=start)
            except ConnectionFailed as error:
                if incoming.size > received_before:
                    return False
                raise TransferFailed(f"the download broke off after {received_before} bytes: {error.reason}") from error
        return True

    def _send(self, request: Request[T], deadline: Deadline) -> T:
        return self._with_retries(
            lambda: self._send_once(request, deadline), safe_to_retry=request.safe_to_retry, deadline=deadline
        )

    def _with_retries(self, call: Callable[[], T], *, safe_to_retry: bool, deadline: Deadline = NO_DEADLINE) -> T:
        until = Deadline(min(deadline.at, Deadline.after(self._retry_timeout).at))
        return stamina.RetryingCaller(attempts=None, timeout=None)(Backoff(until, safe_to_retry=safe_to_retry), call)

    def _send_once(self, request: Request[T], deadline: Deadline) -> T:
        limit = min(RESPONSE_TIMEOUT + request.long_poll, deadline.left)
        return operations.read(request, self._transport.fetch(**self._http_arguments(request), limit=limit))

    def _paginate(self, schema: str, path: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        page = self.send(operations.page(schema, path, query))
        yield from page.data
        while page.next is not None:
            page = self.send(operations.page(schema, path, query, page.next))
            yield from page.data

    def _http_arguments(self, request: Request[Any]) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": self._url + request.path,
            "params": request.query,
            "headers": {**request.headers, **self._credentials.headers()},
            "content": request.body,
        }

    def _open_result(self, job_id: str, name: str | None, start: int) -> httpx.Response:
        """The result from byte `start` on, if it is answered with 206, or else from its first."""
        request = operations.result(job_id, name, start=start)
        response = self._transport.open(**self._http_arguments(request))
        if response.status_code == 200 or (start and response.status_code == PARTIAL_CONTENT):
            return response
        location = operations.read(request, self._transport.read_rest(response))
        stored = self._transport.open("GET", location, headers=request.headers)
        if stored.status_code == 200 or (start and stored.status_code == PARTIAL_CONTENT):
            return stored
        raise _transfer_failed("the result could not be fetched", self._transport.read_rest(stored))

    def _open_events(self, job_id: str, last: str | None) -> httpx.Response | None:
        """The stream of a job's events after the one with the id `last`; None if the server has no room for it."""
        request = operations.event_stream(job_id, last)

        def once() -> httpx.Response | None:
            response = self._transport.open(**self._http_arguments(request))
            if response.status_code in {200, 204}:
                return response
            if response.status_code == 429:
                response.close()
                return None
            return operations.read(request, self._transport.read_rest(response))

        return self._with_retries(once, safe_to_retry=True)

    def _put_bytes(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> None:
        def once() -> None:
            response = self._transport.put(method, url, headers, body())
            if response.status >= 300:
                raise _transfer_failed("the upload was refused", response)

        self._with_retries(once, safe_to_retry=True)


def _transfer_failed(what: str, response: Response) -> TransferFailed:
    # S3 says why in XML: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    code = re.search(rb"<Code>(\w{1,100})</Code>", response.body)
    why = f" ({code[1].decode()})" if code else ""
    return TransferFailed(f"{what}: {redact_url(response.url)} answered {response.status}{why}", response.status)

"""Upload a file: in one request, or in parallel parts that can be resumed."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from coatcheck.client import operations
from coatcheck.client.exceptions import InvalidArgumentError, TransferFailed
from coatcheck.client.file_download import ProgressCallback
from coatcheck.client.operations import Request
from coatcheck.client.responses import MultipartTicket, PartsPage, UploadTicket
from coatcheck.client.server_config import is_loopback
from coatcheck.core import sanitize
from coatcheck.core.part_plan import MAX_PARTS, PartPlan

MULTIPART_THRESHOLD = 64 * 1024**2
"""Size in bytes from which a file is sent in parts, so that a lost connection does not mean starting over."""

MAX_CONCURRENCY = 4

CHUNK = 256 * 1024
"""Bytes that are read of a file at a time."""

# S3 answers 403 when a link has expired, and 400 when the credentials that signed it have expired
_EXPIRED_LINK_STATUSES = frozenset({400, 403})

# S3 accepts an upload once: an earlier PUT has arrived, but its answer was lost
_ALREADY_UPLOADED = 412

Body = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class UploadTransport:
    """Sends, with retries where they may help: calls to the service, and bytes (method, URL, headers) to S3."""

    send: Callable[[Request[Any]], Any]
    put: Callable[[str, str, Mapping[str, str], Body], None]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was hashed. `modified` is in nanoseconds since the epoch."""

    path: Path
    content_type: str
    size: int
    sha256: str
    modified: int

    @classmethod
    def of(cls, path: Path, content_type: str | None) -> LocalFile:
        """Reads it once. The content type is guessed from the name unless given. Raises OSError."""
        guessed = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        modified = path.stat().st_mtime_ns
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(path, guessed, file.tell(), digest, modified)

    def read_range(self, start: int, length: int) -> Iterator[bytes]:
        """These bytes of the file. Raises TransferFailed when it has become shorter."""
        with self.path.open("rb") as file:
            file.seek(start)
            while length and (chunk := file.read(min(CHUNK, length))):
                length -= len(chunk)
                yield chunk
        if length:
            raise self.changed_error()

    def check_size(self) -> None:
        """Raises TransferFailed when the file is no longer as long."""
        if self.path.stat().st_size != self.size:
            raise self.changed_error()

    def check_unmodified(self) -> None:
        """Raises TransferFailed when the file was written to."""
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
            raise self.changed_error()

    def changed_error(self) -> TransferFailed:
        """The error to be raised for bytes that are not those that were hashed."""
        return TransferFailed(f"{self.path} changed while it was being uploaded")


def upload_name(path: Path) -> str:
    """The name of a file's upload: the file's name, without what the service does not accept."""
    return sanitize.filename(path.name) or "file"


def upload(
    transport: UploadTransport,
    file: LocalFile,
    *,
    progress: ProgressCallback | None,
    resume: str | None,
    on_started: Callable[[str], None] | None,
) -> str:
    """Send a file, or what is missing of the upload `resume`, and return the upload's id. See `Client.upload`."""
    upload_id, ticket = _resume(transport, file, resume) if resume else _create(transport, file)
    if isinstance(ticket, UploadTicket):
        _send_single(transport, ticket, file, progress)
        return upload_id
    if on_started:
        on_started(upload_id)
    if ticket is not None:
        _MultipartUpload(transport, ticket, file, progress).send()
    return upload_id


def _create(transport: UploadTransport, file: LocalFile) -> tuple[str, UploadTicket | MultipartTicket]:
    multipart = file.size > MULTIPART_THRESHOLD
    call = operations.create_upload(
        upload_name(file.path), file.content_type, file.size, file.sha256, multipart=multipart
    )
    ticket: UploadTicket | MultipartTicket = transport.send(call)
    return ticket.id, ticket


def _resume(
    transport: UploadTransport, file: LocalFile, upload_id: str
) -> tuple[str, UploadTicket | MultipartTicket | None]:
    found = transport.send(operations.upload(upload_id))
    if (found.size, found.sha256) != (file.size, file.sha256):
        raise InvalidArgumentError(f"{upload_id} is not an upload of {file.path}: size or sha256 differ")
    return upload_id, found.ticket


def _send_single(
    transport: UploadTransport, ticket: UploadTicket, file: LocalFile, progress: ProgressCallback | None
) -> None:
    try:
        _put_file(transport, ticket, file, progress)
    except TransferFailed as error:
        if error.status != _ALREADY_UPLOADED and error.status not in _EXPIRED_LINK_STATUSES:
            raise
        # its sha256 was declared: what is there is this file
        fresh = transport.send(operations.upload(ticket.id)).ticket
        if fresh is None:
            return
        if error.status == _ALREADY_UPLOADED:
            raise
        _put_file(transport, fresh, file, progress)


def _put_file(
    transport: UploadTransport, ticket: UploadTicket, file: LocalFile, progress: ProgressCallback | None
) -> None:
    def body() -> Iterator[bytes]:
        sent = 0
        for chunk in file.read_range(0, file.size):
            yield chunk
            sent += len(chunk)
            if progress:
                progress(sent, file.size)
        file.check_size()

    # in any case of letters, so that it is there once
    headers = {name.lower(): value for name, value in ticket.headers.items()}
    transport.put(ticket.method, ticket.url, headers | {"content-length": str(file.size)}, body)


def _arrives_unchanged(url: str) -> bool:
    """Whether bytes arrive as they were sent, or not at all: TLS sees to it, and nothing is between on this machine.

    Elsewhere S3 compares an MD5: https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
    """
    scheme, _, rest = url.partition("://")
    return scheme == "https" or is_loopback(f"{scheme}://{rest.partition('/')[0]}")


class _MultipartUpload:
    """The parts of one file; parts that have already arrived are not sent."""

    def __init__(
        self, transport: UploadTransport, ticket: MultipartTicket, file: LocalFile, progress: ProgressCallback | None
    ) -> None:
        self._transport, self._ticket, self._file, self._progress = transport, ticket, file, progress
        self._parts = PartPlan(file.size, ticket.part_size)
        if self._parts.count > MAX_PARTS:
            raise TransferFailed(f"the server asks for {self._parts.count} parts, which is more than S3 allows")
        self._aborted = threading.Event()
        self._progress_lock = threading.Lock()
        self._sent_by_part: dict[int, int] = {}
        self._total = 0

    def send(self) -> None:
        after, page = 0, self._ticket.page
        with ThreadPoolExecutor(MAX_CONCURRENCY) as pool:
            try:
                while self._send_page(pool, page, after):
                    after = max(page.links)
                    page = self._fetch_links(after)
            except BaseException:
                # waiting parts are not started, and running ones end at their next chunk
                self._aborted.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._file.check_unmodified()
        self._transport.send(operations.complete_upload(self._ticket.id))

    def _send_page(self, pool: Executor, page: PartsPage, after: int) -> bool:
        """Whether there is another page."""
        unexpected = [number for number in page.links if not after < number <= self._parts.count]
        if unexpected:
            raise TransferFailed(f"the server asks for part {unexpected[0]}, which is not missing")
        last = max(page.links) if page.more else self._parts.count
        for number in range(after + 1, last + 1):
            if number not in page.links:
                self._record_sent(number, self._parts.length(number))
        for done in as_completed([pool.submit(self._send_part, number, url) for number, url in page.links.items()]):
            done.result()
        return page.more

    def _send_part(self, number: int, url: str) -> None:
        try:
            self._put(number, url)
        except TransferFailed as error:
            if error.status not in _EXPIRED_LINK_STATUSES:
                raise
            fresh = self._fetch_links(number - 1).links
            if number in fresh:
                self._put(number, fresh[number])

    def _put(self, number: int, url: str) -> None:
        start, length = self._parts.start(number), self._parts.length(number)
        headers = {"content-length": str(length)}
        if not _arrives_unchanged(url):
            headers["content-md5"] = self._md5(start, length)
        self._transport.put("PUT", url, headers, partial(self._body, number, start, length))

    def _md5(self, start: int, length: int) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._file.read_range(start, length):
            digest.update(chunk)
        return base64.b64encode(digest.digest()).decode()

    def _body(self, number: int, start: int, length: int) -> Iterator[bytes]:
        sent = 0
        for chunk in self._file.read_range(start, length):
            if self._aborted.is_set():
                raise TransferFailed("the upload was aborted")
            yield chunk
            sent += len(chunk)
            self._record_sent(number, sent)

    def _record_sent(self, number: int, sent: int) -> None:
        with self._progress_lock:
            self._total += sent - self._sent_by_part.get(number, 0)
            self._sent_by_part[number] = sent
            if self._progress:
                self._progress(self._total, self._file.size)

    def _fetch_links(self, after: int) -> PartsPage:
        page: PartsPage = self._transport.send(operations.upload_parts(self._ticket.id, after))
        return page

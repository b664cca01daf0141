"""A file on its way to be an upload: whole, or in parts side by side that go on where they stopped."""

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

from coatcheck.client import core
from coatcheck.client.answers import MultipartTicket, PartsPage, UploadTicket
from coatcheck.client.core import Request
from coatcheck.client.errors import InvalidArgumentError, TransferFailed
from coatcheck.client.inputs import upload_name
from coatcheck.client.transfer import CHUNK, Progress
from coatcheck.parts import MOST_PARTS, Parts

IN_PARTS_ABOVE = 64 * 1024**2
"""Bytes of a file from which on losing a connection is worth not to start over."""

SIDE_BY_SIDE = 4

# S3 answers 403 when a link has expired, and 400 when the credentials have that signed it
_STALE_LINK = frozenset({400, 403})

# S3 takes an upload once: an earlier PUT has arrived, whose answer was lost
_IS_THERE = 412

Body = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Door:
    """What sends, and again where that may help: calls to the service, and bytes (method, URL, headers) to S3."""

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

    def piece(self, start: int, length: int) -> Iterator[bytes]:
        """These bytes of the file. Raises TransferFailed when it has become shorter."""
        with self.path.open("rb") as file:
            file.seek(start)
            while length and (chunk := file.read(min(CHUNK, length))):
                length -= len(chunk)
                yield chunk
        if length:
            raise self.changed()

    def insist_on_size(self) -> None:
        """Raises TransferFailed when the file is no longer as long."""
        if self.path.stat().st_size != self.size:
            raise self.changed()

    def insist_on_being_untouched(self) -> None:
        """Raises TransferFailed when the file was written to."""
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
            raise self.changed()

    def changed(self) -> TransferFailed:
        """The error to be raised for bytes that are not those that were hashed."""
        return TransferFailed(f"{self.path} changed while it was being uploaded")


def upload(
    door: Door,
    file: LocalFile,
    *,
    progress: Progress | None,
    resume: str | None,
    begun: Callable[[str], None] | None,
) -> str:
    """Send a file, or of the upload `resume` what is missing; the upload's id. See `Client.upload`."""
    upload_id, ticket = _found(door, file, resume) if resume else _announced(door, file)
    if isinstance(ticket, UploadTicket):
        _send_single(door, ticket, file, progress)
        return upload_id
    if begun:
        begun(upload_id)
    if ticket is not None:
        _InParts(door, ticket, file, progress).send()
    return upload_id


def _announced(door: Door, file: LocalFile) -> tuple[str, UploadTicket | MultipartTicket]:
    in_parts = file.size > IN_PARTS_ABOVE
    call = core.create_upload(upload_name(file.path), file.content_type, file.size, file.sha256, multipart=in_parts)
    ticket: UploadTicket | MultipartTicket = door.send(call)
    return ticket.id, ticket


def _found(door: Door, file: LocalFile, upload_id: str) -> tuple[str, UploadTicket | MultipartTicket | None]:
    found = door.send(core.upload(upload_id))
    if (found.size, found.sha256) != (file.size, file.sha256):
        raise InvalidArgumentError(f"{upload_id} is not an upload of {file.path}: size or sha256 differ")
    return upload_id, found.ticket


def _send_single(door: Door, ticket: UploadTicket, file: LocalFile, progress: Progress | None) -> None:
    try:
        _send_whole(door, ticket, file, progress)
    except TransferFailed as error:
        if error.status != _IS_THERE and error.status not in _STALE_LINK:
            raise
        # its sha256 was declared: what is there is this file
        fresh = door.send(core.upload(ticket.id)).ticket
        if fresh is None:
            return
        if error.status == _IS_THERE:
            raise
        _send_whole(door, fresh, file, progress)


def _send_whole(door: Door, ticket: UploadTicket, file: LocalFile, progress: Progress | None) -> None:
    def body() -> Iterator[bytes]:
        sent = 0
        for chunk in file.piece(0, file.size):
            yield chunk
            sent += len(chunk)
            if progress:
                progress(sent, file.size)
        file.insist_on_size()

    # in any case of letters, so that it is there once
    headers = {name.lower(): value for name, value in ticket.headers.items()}
    door.put(ticket.method, ticket.url, headers | {"content-length": str(file.size)}, body)


class _InParts:
    """The parts of one file, of which those that have arrived already are not sent."""

    def __init__(self, door: Door, ticket: MultipartTicket, file: LocalFile, progress: Progress | None) -> None:
        self._door, self._ticket, self._file, self._progress = door, ticket, file, progress
        self._parts = Parts(file.size, ticket.part_size)
        if self._parts.count > MOST_PARTS:
            raise TransferFailed(f"the server wants {self._parts.count} parts, which S3 does not take")
        self._given_up = threading.Event()
        self._counting = threading.Lock()
        self._sent: dict[int, int] = {}
        self._total = 0

    def send(self) -> None:
        after, page = 0, self._ticket.page
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            try:
                while self._send_page(pool, page, after):
                    after = max(page.links)
                    page = self._fresh(after)
            except BaseException:
                # what waits is not begun, and what is on its way ends at its next chunk
                self._given_up.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._file.insist_on_being_untouched()
        self._door.send(core.complete_upload(self._ticket.id))

    def _send_page(self, pool: Executor, page: PartsPage, after: int) -> bool:
        """Whether there is another page."""
        foreign = [number for number in page.links if not after < number <= self._parts.count]
        if foreign:
            raise TransferFailed(f"the server asks for part {foreign[0]}, which is none of those that are missing")
        upto = max(page.links) if page.more else self._parts.count
        for number in range(after + 1, upto + 1):
            if number not in page.links:
                self._count(number, self._parts.length(number))
        for done in as_completed([pool.submit(self._send_part, number, url) for number, url in page.links.items()]):
            done.result()
        return page.more

    def _send_part(self, number: int, url: str) -> None:
        try:
            self._put(number, url)
        except TransferFailed as error:
            if error.status not in _STALE_LINK:
                raise
            fresh = self._fresh(number - 1).links
            if number in fresh:
                self._put(number, fresh[number])

    def _put(self, number: int, url: str) -> None:
        start, length = self._parts.start(number), self._parts.length(number)
        # S3 compares it on arrival: https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._file.piece(start, length):
            digest.update(chunk)
        headers = {
            "content-length": str(length),
            "content-md5": base64.b64encode(digest.digest()).decode(),
        }
        self._door.put("PUT", url, headers, partial(self._body, number, start, length))

    def _body(self, number: int, start: int, length: int) -> Iterator[bytes]:
        sent = 0
        for chunk in self._file.piece(start, length):
            if self._given_up.is_set():
                raise TransferFailed("the upload was given up")
            yield chunk
            sent += len(chunk)
            self._count(number, sent)

    def _count(self, number: int, sent: int) -> None:
        with self._counting:
            self._total += sent - self._sent.get(number, 0)
            self._sent[number] = sent
            if self._progress:
                self._progress(self._total, self._file.size)

    def _fresh(self, after: int) -> PartsPage:
        page: PartsPage = self._door.send(core.upload_parts(self._ticket.id, after))
        return page

"""What the server's answers mean: the values a client works with, and how each is read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from coatcheck.client.exceptions import NotFinished, UnexpectedResponseError
from coatcheck.client.job import Job
from coatcheck.client.text import strict_json


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ListPage:
    """A part of a list, and the cursor to the next one (None: this was the last)."""

    data: Sequence[Mapping[str, Any]]
    next: str | None


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """Where to send the bytes of an upload, how, and the id to name it by afterwards."""

    id: str
    method: str
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartsPage:
    """Where to send parts that have not arrived, by their numbers, and whether there are more of them."""

    links: Mapping[int, str]
    more: bool


@dataclass(frozen=True, slots=True)
class MultipartTicket:
    """How to send an upload in parts of `part_size` bytes, and the id to name it by afterwards."""

    id: str
    part_size: int
    page: PartsPage


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """An upload as the server knows it; `ticket` says how to send what is missing, None that nothing is."""

    id: str
    filename: str
    size: int
    sha256: str | None
    ticket: UploadTicket | MultipartTicket | None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, at least 0; a date counts from the answer's own Date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, until.total_seconds())


def document(response: Response, schema: str | None = None) -> Mapping[str, Any]:
    """The answer as a JSON object of this shape of `coatcheck.client.response_schemas`.

    Raises UnexpectedResponseError when it is none.
    """
    try:
        parsed = strict_json(response.body)
        if response.status in range(300, 400) or not isinstance(parsed, dict):
            raise unexpected(response)
        if schema:
            _validate(schema, parsed)
    except ValueError as error:
        raise unexpected(response) from error
    return parsed


def _validate(schema: str, found: object) -> None:
    # pydantic is slow to import, and `coatcheck --help` has no answer to check
    from coatcheck.client import response_schemas  # noqa: PLC0415

    response_schemas.validate(schema, found)


def job(response: Response) -> Job:
    """A JobView."""
    replayed = response.headers.get("idempotent-replayed", "").lower() == "true"
    return Job(document(response, "job"), retry_after(response.headers), replayed)


def endpoint(response: Response) -> Mapping[str, Any]:
    """A webhook endpoint."""
    return document(response, "endpoint")


def endpoint_with_secret(response: Response) -> Mapping[str, Any]:
    """A webhook endpoint and its secret."""
    found = endpoint(response)
    if not found.get("secret"):
        raise unexpected(response)
    return found


def delivery(response: Response) -> Mapping[str, Any]:
    """A delivery."""
    return document(response, "delivery")


def nothing(response: Response) -> None:
    """204."""
    if response.status != 204:
        raise unexpected(response)


def location(response: Response) -> str:
    """Where 303 says that the result is. Raises NotFinished for 202."""
    if response.status == 202:
        raise NotFinished(job(response))
    if response.status != 303:
        raise unexpected(response)
    return urljoin(response.url, response.headers["location"])


def link(response: Response) -> Mapping[str, Any]:
    """Where a result is. Raises NotFinished for 202."""
    if response.status == 202:
        raise NotFinished(job(response))
    return document(response)


def page(schema: str, after: str | None, response: Response) -> ListPage:
    """The part of a list of documents of this shape that comes `after` a cursor."""
    parsed = document(response)
    data, next_cursor = parsed["data"], parsed["next"]
    # a cursor that leads to itself would be followed for ever
    if not isinstance(data, list) or not isinstance(next_cursor, str | None) or (after and next_cursor == after):
        raise unexpected(response)
    for entry in data:
        _validate(schema, entry)
    return ListPage(data, next_cursor)


def upload_ticket(response: Response) -> UploadTicket | MultipartTicket:
    """How to send an upload."""
    return _ticket(document(response))


def parts_page(response: Response) -> PartsPage:
    """Where to send parts."""
    return _page(document(response, "parts"))


def upload(response: Response) -> UploadStatus:
    """An upload as it is."""
    parsed = document(response, "upload")
    ticket = None if parsed["ticket"] is None else _ticket(parsed["ticket"])
    return UploadStatus(parsed["id"], parsed["filename"], parsed["size"], parsed["sha256"], ticket)


def _ticket(parsed: Mapping[str, Any]) -> UploadTicket | MultipartTicket:
    if "parts" in parsed:
        _validate("multipart ticket", parsed)
        return MultipartTicket(parsed["id"], parsed["part_size"], _page(parsed))
    _validate("upload ticket", parsed)
    return UploadTicket(parsed["id"], parsed["method"], parsed["url"], parsed["headers"])


def _page(parsed: Mapping[str, Any]) -> PartsPage:
    links = {part["number"]: part["url"] for part in parsed["parts"]}
    return PartsPage(links, more=parsed["next_parts"] is not None and bool(links))


def problem(response: Response) -> Mapping[str, Any]:
    """The problem that an error answer carries, or one made from its status when it carries none."""
    try:
        return document(response)
    except UnexpectedResponseError:
        return {"title": f"the server answered {response.status}", "status": response.status}


def unexpected(response: Response) -> UnexpectedResponseError:
    """The error that says that this is no answer of the contract."""
    return UnexpectedResponseError(response.url, response.status, response.headers.get("content-type", ""))

"""What can go wrong for a client: everything it raises on purpose is a `CoatcheckError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coatcheck.client.job import Job
from coatcheck.client.text import printable


class CoatcheckError(Exception):
    """Base of every error the client raises on purpose; its text is one line meant for people.

    It is safe to show and to log, though parts of it may have come from a server.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InvalidArgumentError(CoatcheckError, ValueError):
    """The caller gave something that cannot be sent: nothing went to the server."""


class NoServerError(CoatcheckError):
    """No server was named and none runs here, or the one found on this machine does not answer."""


class ConnectionFailed(CoatcheckError):
    """The server could not be reached, or the connection broke before its answer was whole.

    `reason` says why; `sent`: the request may have reached the server and been carried out.
    """

    def __init__(self, url: str, reason: str, *, sent: bool) -> None:
        super().__init__(f"could not reach {url}: {reason}")
        self.url = url
        self.reason = reason
        self.sent = sent


class ProblemError(CoatcheckError):
    """The server answered with an error: the fields of its RFC 9457 problem, and `retry_after` in seconds.

    An error answer that is no problem document (a proxy's, say) has its status, a title and nothing else.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(describe(problem))

    @property
    def code(self) -> str | None:
        """The stable name of this kind of error, such as `idempotency-key-reused`."""
        return _text(self.problem.get("code"))

    @property
    def detail(self) -> str | None:
        """What was wrong this time, as the server said it: make it printable before you show it."""
        return _text(self.problem.get("detail"))

    @property
    def retryable(self) -> bool:
        """Whether the server says that the same request may succeed later."""
        return bool(self.problem.get("retryable"))

    @property
    def errors(self) -> list[Mapping[str, Any]]:
        """For a refused input: one `{"pointer", "detail"}` for each field that is wrong."""
        return _fields(self.problem)


class UnexpectedResponseError(CoatcheckError):
    """The answer does not follow the contract: it is not JSON, or has a status that the call does not have."""

    def __init__(self, url: str, status: int, content: str) -> None:
        received = f"{redact_url(url)} answered {status} with {content or 'no content'}"
        super().__init__(f"{received}, which is not the answer of a Coatcheck server: check the URL")


class NotFinished(CoatcheckError):
    """The job is not done yet: it has no result so far. `job` is its last known state."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is {job.status}, not finished yet")
        self.job = job


class TransferFailed(CoatcheckError):
    """The bytes of an upload or a result did not arrive whole and right.

    `status` is what the storage answered; None when it answered well but the bytes were wrong or too few.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def redact_url(url: str) -> str:
    """A URL as it may stand in messages and logs: without its query, which makes a presigned URL a credential."""
    return url.partition("?")[0]


_MAX_FIELDS = 20
"""Fields of a refused input that a line names; `ProblemError.errors` has them all."""


def describe(problem: Mapping[str, Any]) -> str:
    """A problem as one line: its detail, and each wrong field with its pointer. Without a detail, its title.

    A detail that only repeats the first field is left out.
    """
    fields = [f"{e.get('pointer') or '/'}: {e.get('detail')}" for e in _fields(problem)[:_MAX_FIELDS]]
    title, detail = (str(problem.get(name) or "") for name in ("title", "detail"))
    if fields and fields[0] in detail:
        return "; ".join(fields)
    line = detail or title or "error"
    return f"{line} ({'; '.join(fields)})" if fields else line


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _fields(problem: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # an error of something that is not Coatcheck may call anything "errors"
    found = problem.get("errors")
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []

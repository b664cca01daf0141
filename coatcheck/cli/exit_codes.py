"""The exit codes of the command line, and which error leads to which."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from coatcheck.cli.stdio import StreamFailed
from coatcheck.client.exceptions import (
    CoatcheckError,
    ConnectionFailed,
    InvalidArgumentError,
    NoServerError,
    NotFinished,
    ProblemError,
)

(
    OK,
    UNSUCCESSFUL,
    USAGE,
    NOT_FOUND,
    UNAUTHORIZED,
    UNREACHABLE,
    INVALID,
    NOT_FINISHED,
    CONFLICT,
    SERVER_ERROR,
    INTERRUPTED,
) = (
    *range(10),
    130,
)

DESCRIPTIONS: Mapping[int, str] = MappingProxyType(
    {
        OK: "done",
        UNSUCCESSFUL: "the job ended failed, timed_out, expired or canceled (submit --wait, run, result)",
        USAGE: "wrong options or arguments, or a local file or stream that cannot be read or written",
        NOT_FOUND: "there is no such job, artifact, endpoint or the like, or no longer (404, 410)",
        UNAUTHORIZED: "the credentials were refused (401, 403)",
        UNREACHABLE: "no server was found, or it could not be reached",
        INVALID: "the server refused what was sent (400, 413, 415, 422)",
        NOT_FINISHED: "the job is not finished yet (result)",
        CONFLICT: "not possible in its present state (409)",
        SERVER_ERROR: "the server failed (429, 5xx), or a transfer arrived damaged",
        INTERRUPTED: "interrupted; the job goes on",
    }
)

_BY_STATUS = {
    **dict.fromkeys((404, 410), NOT_FOUND),
    **dict.fromkeys((401, 403), UNAUTHORIZED),
    **dict.fromkeys((400, 413, 415, 422), INVALID),
    409: CONFLICT,
}
_BY_KIND: tuple[tuple[type[CoatcheckError], int], ...] = (
    (InvalidArgumentError, USAGE),
    (StreamFailed, USAGE),
    (NoServerError, UNREACHABLE),
    (ConnectionFailed, UNREACHABLE),
    (NotFinished, NOT_FINISHED),
)


def exit_code(error: CoatcheckError) -> int:
    """The exit code for an error."""
    if isinstance(error, ProblemError):
        return _BY_STATUS.get(error.status, SERVER_ERROR)
    return next((code for kind, code in _BY_KIND if isinstance(error, kind)), SERVER_ERROR)

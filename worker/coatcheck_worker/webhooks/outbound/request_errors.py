"""Why a request brought no answer. `code` is stable and for the ledger; the text is one line that a tenant may read."""

from __future__ import annotations


class RequestFailed(Exception):
    """A request that brought no answer."""

    code = "no-answer"
    text = "no response came"

    def __init__(self, text: str | None = None) -> None:
        self.text = text or self.text
        super().__init__(self.text)


class NotAllowed(RequestFailed):
    """Nothing was sent, and nothing was connected to.

    It is the same for a name without an address: what names there are inside is nothing for a tenant to know.
    """

    code = "not-allowed"
    text = "the host has no address that is allowed"


class Unreachable(RequestFailed):
    """No connection came about, or it broke before the answer."""

    code = "unreachable"
    text = "the connection was refused, or closed before a response came"


class TimedOut(RequestFailed):
    """The time for all of it was over."""

    code = "timed-out"
    text = "no complete response came in time"


class TlsFailed(RequestFailed):
    """There is no TLS with that host, or its certificate is not to be trusted."""

    code = "tls-failed"
    text = "TLS failed: the host has no TLS, or its certificate is not trusted"


class InvalidResponse(RequestFailed):
    """What came is not HTTP/1.1, ends early, or has headers beyond measure."""

    code = "bad-answer"
    text = "the response is not valid HTTP/1.1, or is incomplete"

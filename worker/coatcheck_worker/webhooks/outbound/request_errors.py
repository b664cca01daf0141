"""Why a request brought no answer. `code` is stable and for the ledger; the text is one line that a tenant may read."""

from __future__ import annotations


class RequestFailed(Exception):
    """A request that brought no answer."""

    code = "no-answer"
    text = "no answer came"

    def __init__(self, text: str | None = None) -> None:
        self.text = text or self.text
        super().__init__(self.text)


class NotAllowed(RequestFailed):
    """Nothing was sent, and nothing was connected to.

    It is the same for a name without an address: what names there are inside is nothing for a tenant to know.
    """

    code = "not-allowed"
    text = "the host leads to no address that is allowed"


class Unreachable(RequestFailed):
    """No connection came about, or it broke before the answer."""

    code = "unreachable"
    text = "the connection was refused, or broke before an answer came"


class TimedOut(RequestFailed):
    """The time for all of it was over."""

    code = "timed-out"
    text = "no whole answer came in time"


class TlsFailed(RequestFailed):
    """There is no TLS with that host, or its certificate is not to be trusted."""

    code = "tls-failed"
    text = "TLS with the host failed"


class InvalidResponse(RequestFailed):
    """What came is not HTTP/1.1, ends early, or has headers beyond measure."""

    code = "bad-answer"
    text = "the answer is not valid HTTP/1.1, or ends before it is whole"

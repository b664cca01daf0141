"""HTTP on behalf of the client: every answer is bounded in time and in size, whatever a server does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx

from coatcheck.client.answers import Answer
from coatcheck.client.deadline import Deadline, within
from coatcheck.client.endpoint import is_loopback
from coatcheck.client.errors import ConnectionFailed, InvalidArgumentError, TransferFailed, UnexpectedAnswerError, shown

SECONDS_TO_ANSWER = 30.0
SECONDS_TO_CONNECT = 5.0

SECONDS_WITHOUT_PROGRESS = 60.0
"""As long as the receiver of a file may take none of its bytes, and may keep the answer back after the last."""

LARGEST_ANSWER = 8 * 1024**2
"""Bytes of an answer that is read whole. A Lambda's answer has 6 MB at most
(https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

SLOWEST = 1024
"""Bytes a second below which a download is given up."""

# bytes are passed on as they are: what is small on the way may be gigabytes unpacked
IDENTITY = {"Accept-Encoding": "identity"}

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_HERE = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class Connection:
    """Sends requests for a client of the server at `url`. Raises InvalidArgumentError for proxies or certificates of
    the environment that cannot be used.

    Methods raise ConnectionFailed where no answer came, or not in time, and UnexpectedAnswerError for one that is
    larger than any of a Coatcheck server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = _http(url)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def open(self, method: str, url: str, *, limit: float = SECONDS_TO_ANSWER, **more: Any) -> httpx.Response:
        """The head of an answer, within `limit` seconds; whoever asked reads the rest and closes it."""
        left = Deadline.after(limit)
        send = partial(self._send, method, url, limit, **more)
        with self._reaching(url):
            return within(lambda: left.left, send, discard=httpx.Response.close)

    def fetch(self, method: str, url: str, *, limit: float = SECONDS_TO_ANSWER, **more: Any) -> Answer:
        """A whole answer, within `limit` seconds."""
        left = Deadline.after(limit)
        with self._reaching(url):
            return within(lambda: left.left, lambda: _answer(self._send(method, url, limit, **more)))

    def whole(self, response: httpx.Response) -> Answer:
        """The rest of an answer of which the head was read."""
        left = Deadline.after(SECONDS_TO_ANSWER)
        with closing(response), self._reaching(str(response.url)):
            return within(lambda: left.left, lambda: _answer(response))

    def put(self, method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes]) -> Answer:
        """The answer to a body that may take as long as it goes on: SECONDS_WITHOUT_PROGRESS is the limit."""
        moved = time.monotonic()

        def moving() -> Iterator[bytes]:
            nonlocal moved
            for chunk in body:
                moved = time.monotonic()
                yield chunk
            moved = time.monotonic()

        def send() -> Answer:
            return _answer(self._send(method, url, SECONDS_WITHOUT_PROGRESS, headers=headers, content=moving()))

        with self._reaching(url):
            return within(lambda: moved + SECONDS_WITHOUT_PROGRESS - time.monotonic(), send)

    def chunks(self, response: httpx.Response, size: int) -> Iterator[bytes]:
        """The body of an answer, of which `size` bytes are wanted, as it comes.

        Raises TransferFailed when it is encoded, or slower than SLOWEST after the first SECONDS_WITHOUT_PROGRESS.
        """
        if _is_encoded(response):
            raise TransferFailed("the download is given up: it came encoded, which was not asked for")
        deadline = Deadline.after(SECONDS_WITHOUT_PROGRESS + size / SLOWEST)
        with self._reaching(str(response.url)):
            for chunk in response.iter_raw():
                yield chunk
                if not deadline.left:
                    raise TransferFailed("the download is given up: it came too slowly")

    def _send(self, method: str, url: str, limit: float, **more: Any) -> httpx.Response:
        timeout = httpx.Timeout(limit, connect=min(limit, SECONDS_TO_CONNECT))
        more["headers"] = {**IDENTITY, **more.get("headers", {})}
        return self._http.send(self._http.build_request(method, url, timeout=timeout, **more), stream=True)

    @contextmanager
    def _reaching(self, url: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise ConnectionFailed(self._shown(url), "no answer in time", sent=True) from error
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
            sent = not isinstance(error, _NEVER_SENT)
            raise ConnectionFailed(self._shown(url), reason(error), sent=sent) from error

    def _shown(self, url: str) -> str:
        return self._url if url.startswith(self._url + "/v1/") else shown(url)


def reason(error: Exception) -> str:
    """Why there was no answer, in a few words."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def is_server(url: str) -> bool:
    """Whether a URL can be that of a server: http or https and a host, without credentials, query or fragment."""
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        extra = parts.query or parts.fragment or parts.username is not None
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not extra
    except (httpx.InvalidURL, ValueError):
        return False


def _http(url: str) -> httpx.Client:
    about: dict[str, Any] = {"headers": {"User-Agent": "coatcheck-client"}}
    try:
        # no proxy is asked for what runs on this machine
        return httpx.Client(mounts=dict.fromkeys(_HERE), **about)
    except (ImportError, ValueError, httpx.InvalidURL, OSError) as error:
        if is_loopback(url):
            return httpx.Client(trust_env=False, **about)
        raise InvalidArgumentError(_environment_fault(error)) from error


def _environment_fault(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be used: {error.strerror or error}"
    why = "for SOCKS, pip install 'httpx[socks]'" if isinstance(error, ImportError) else str(error)
    return f"the proxy that ALL_PROXY, HTTP_PROXY, HTTPS_PROXY or NO_PROXY names cannot be used: {why}"


def _is_encoded(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


def _answer(response: httpx.Response) -> Answer:
    url, status = str(response.url), response.status_code
    with closing(response):
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = bytearray()
        for chunk in () if _is_encoded(response) else response.iter_raw():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                break
    if not _is_encoded(response) and len(body) <= LARGEST_ANSWER:
        return Answer(url, status, headers, bytes(body))
    if status >= 400:
        # what it says is not worth reading, that it is an error is
        return Answer(url, status, headers, b"")
    fault = "an encoding that was not asked for" if _is_encoded(response) else f"more than {LARGEST_ANSWER} bytes"
    raise UnexpectedAnswerError(url, status, fault)

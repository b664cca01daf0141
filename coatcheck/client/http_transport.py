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

from coatcheck.client.deadline import Deadline, run_with_timeout
from coatcheck.client.exceptions import (
    ConnectionFailed,
    InvalidArgumentError,
    TransferFailed,
    UnexpectedResponseError,
    redact_url,
)
from coatcheck.client.response_body import read_body
from coatcheck.client.responses import Response
from coatcheck.client.server_config import is_loopback

RESPONSE_TIMEOUT = 30.0
CONNECT_TIMEOUT = 5.0

STALL_TIMEOUT = 60.0
"""Seconds for which the receiver of a file may take no bytes, and may hold back the answer after the last byte."""

MAX_RESPONSE_SIZE = 8 * 1024**2
"""Bytes of an answer that is read whole. A Lambda's answer has 6 MB at most
(https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

MIN_DOWNLOAD_RATE = 1024
"""Bytes a second below which a download is given up."""

# bytes are passed on unchanged: what is small in transit may be gigabytes when decompressed
IDENTITY = {"Accept-Encoding": "identity"}

_NOT_SENT_ERRORS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_LOOPBACK_PATTERNS = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class HttpTransport:
    """Sends requests for a client of the server at `url`. Raises InvalidArgumentError for proxies or certificates of
    the environment that cannot be used.

    Methods raise ConnectionFailed when no answer came in time, and UnexpectedResponseError for an answer that is larger
    than any of a Coatcheck server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = _http(url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def open(self, method: str, url: str, *, limit: float = RESPONSE_TIMEOUT, **more: Any) -> httpx.Response:
        """The head of an answer, within `limit` seconds; the caller reads the rest and closes it."""
        left = Deadline.after(limit)
        send = partial(self._send, method, url, limit, **more)
        with self._connection_errors(url):
            return run_with_timeout(lambda: left.left, send, discard=httpx.Response.close)

    def fetch(self, method: str, url: str, *, limit: float = RESPONSE_TIMEOUT, **more: Any) -> Response:
        """A whole answer, within `limit` seconds."""
        left = Deadline.after(limit)
        with self._connection_errors(url):
            return run_with_timeout(lambda: left.left, lambda: _read_response(self._send(method, url, limit, **more)))

    def read_rest(self, response: httpx.Response) -> Response:
        """The rest of an answer whose head was read."""
        left = Deadline.after(RESPONSE_TIMEOUT)
        with closing(response), self._connection_errors(str(response.url)):
            return run_with_timeout(lambda: left.left, lambda: _read_response(response))

    def put(self, method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes]) -> Response:
        """The answer to a body. It may take any time as long as it makes progress: STALL_TIMEOUT is the limit."""
        last_progress = time.monotonic()

        def tracked_body() -> Iterator[bytes]:
            nonlocal last_progress
            for chunk in body:
                last_progress = time.monotonic()
                yield chunk
            last_progress = time.monotonic()

        def send() -> Response:
            return _read_response(self._send(method, url, STALL_TIMEOUT, headers=headers, content=tracked_body()))

        with self._connection_errors(url):
            return run_with_timeout(lambda: last_progress + STALL_TIMEOUT - time.monotonic(), send)

    def chunks(self, response: httpx.Response, size: float) -> Iterator[bytes | memoryview]:
        """The body of an answer as it arrives; `size` bytes of it are wanted, infinity for whatever comes.

        As for `read_body`, what is a memoryview is overwritten later.

        Raises TransferFailed when it is encoded, or slower than MIN_DOWNLOAD_RATE after the first STALL_TIMEOUT.
        """
        if _is_encoded(response):
            raise TransferFailed("the download was aborted: the server sent it with a Content-Encoding")
        deadline = Deadline.after(STALL_TIMEOUT + size / MIN_DOWNLOAD_RATE)
        with self._connection_errors(str(response.url)):
            for chunk in read_body(response):
                yield chunk
                if not deadline.left:
                    raise TransferFailed("the download was aborted: it was too slow")

    def _send(self, method: str, url: str, limit: float, **more: Any) -> httpx.Response:
        timeout = httpx.Timeout(limit, connect=min(limit, CONNECT_TIMEOUT))
        more["headers"] = {**IDENTITY, **more.get("headers", {})}
        return self._http.send(self._http.build_request(method, url, timeout=timeout, **more), stream=True)

    @contextmanager
    def _connection_errors(self, url: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise ConnectionFailed(self._redacted(url), "no answer in time", sent=True) from error
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
            sent = not isinstance(error, _NOT_SENT_ERRORS)
            raise ConnectionFailed(self._redacted(url), failure_reason(error), sent=sent) from error

    def _redacted(self, url: str) -> str:
        return self._url if url.startswith(self._url + "/v1/") else redact_url(url)


def failure_reason(error: Exception) -> str:
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
    options: dict[str, Any] = {"headers": {"User-Agent": "coatcheck-client"}}
    try:
        # requests to this machine use no proxy
        return httpx.Client(mounts=dict.fromkeys(_LOOPBACK_PATTERNS), **options)
    except (ImportError, ValueError, httpx.InvalidURL, OSError) as error:
        if is_loopback(url):
            return httpx.Client(trust_env=False, **options)
        raise InvalidArgumentError(_environment_error(error)) from error


def _environment_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be used: {error.strerror or error}"
    why = "for SOCKS, pip install 'httpx[socks]'" if isinstance(error, ImportError) else str(error)
    return f"the proxy that ALL_PROXY, HTTP_PROXY, HTTPS_PROXY or NO_PROXY names cannot be used: {why}"


def _is_encoded(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


def _read_response(response: httpx.Response) -> Response:
    url, status = str(response.url), response.status_code
    with closing(response):
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = bytearray()
        for chunk in () if _is_encoded(response) else response.iter_raw():
            body += chunk
            if len(body) > MAX_RESPONSE_SIZE:
                break
    if not _is_encoded(response) and len(body) <= MAX_RESPONSE_SIZE:
        return Response(url, status, headers, bytes(body))
    if status >= 400:
        # the status says that it is an error; the body is not needed
        return Response(url, status, headers, b"")
    fault = "an encoding that was not asked for" if _is_encoded(response) else f"more than {MAX_RESPONSE_SIZE} bytes"
    raise UnexpectedResponseError(url, status, fault)

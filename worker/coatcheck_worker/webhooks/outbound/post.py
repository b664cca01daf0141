"""One POST to a URL that somebody else chose: to an allowed address, within one deadline, and no further."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from time import monotonic

import h11

from coatcheck.core.ssrf import ParsedUrl, SsrfPolicy, UrlRefused, check
from coatcheck_worker.webhooks.outbound.connect import Resolve, connect
from coatcheck_worker.webhooks.outbound.request_errors import (
    InvalidResponse,
    NotAllowed,
    RequestFailed,
    TimedOut,
    TlsFailed,
    Unreachable,
)

READ_BYTES = 4096
"""The most bytes of a response body that are read."""

KEPT_BYTES = 1024
"""Bytes of it that are kept."""

MAX_BYTES = 64 * 1024
"""Bytes of a response, with its headers and all that comes before them, beyond which it is invalid."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response of any status: a redirect counts as a response, and is not followed.

    `body` is its first KB, as it came over the wire; `seconds` is how long all of it took.
    """

    status: int
    retry_after: str | None
    body: bytes
    seconds: float


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    ssrf_policy: SsrfPolicy,
    *,
    seconds: float = 15.0,
    resolve: Resolve = socket.getaddrinfo,
    context: ssl.SSLContext | None = None,
) -> HttpResponse:
    """Send `body` to `url`, and return what is answered within `seconds`, from the name to the answer's last byte.

    Certificates are verified against the system's store, or by `context`. There are no redirects, proxies, cookies or
    compression. Raises a RequestFailed, and h11.LocalProtocolError if `headers` are not what HTTP allows.
    """
    started = monotonic()
    deadline = started + seconds
    try:
        target = check(url, ssrf_policy)
    except UrlRefused as refused:
        raise NotAllowed from refused
    with connect(target, ssrf_policy, deadline, resolve) as sock, _shut_down_at(sock, deadline) as timed_out:
        try:
            response, start = _exchange(sock, target, context, body, headers)
        except (OSError, h11.RemoteProtocolError) as error:
            raise (TimedOut() if timed_out.is_set() else _as_request_error(error)) from error
        if timed_out.is_set():
            raise TimedOut
    after = next((value.decode("latin-1") for name, value in response.headers if name == b"retry-after"), None)
    return HttpResponse(response.status_code, after, start[:KEPT_BYTES], monotonic() - started)


@contextmanager
def _shut_down_at(sock: socket.socket, deadline: float) -> Iterator[threading.Event]:
    """Shut the connection down at the deadline, whatever waits for it, and set the event.

    It goes by a second handle of the connection: wrapping a socket in TLS leaves the first one empty. And it is a
    thread of its own: a timeout of each call is only as good as every loop around it and, in OpenSSL, beneath it.
    """
    timed_out = threading.Event()
    handle = sock.dup()

    def shut_down() -> None:
        timed_out.set()
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - monotonic()), shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield timed_out
    finally:
        timer.cancel()
        timer.join()
        handle.close()


def _exchange(
    sock: socket.socket, target: ParsedUrl, context: ssl.SSLContext | None, body: bytes, headers: Mapping[str, str]
) -> tuple[h11.Response, bytes]:
    """Send the request; read the answer's head and the start of its body."""
    wire = h11.Connection(h11.CLIENT)
    own = {
        "Host": target.authority,
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    request = h11.Request(method="POST", target=target.path, headers=[*own.items(), *headers.items()])
    sent = [wire.send(event) or b"" for event in (request, h11.Data(data=body), h11.EndOfMessage())]
    with closing(_with_tls(sock, target, context)) as stream:
        stream.sendall(b"".join(sent))
        return _read(stream, wire)


def _with_tls(sock: socket.socket, target: ParsedUrl, context: ssl.SSLContext | None) -> socket.socket:
    if target.scheme != "https":
        return sock
    return (context or _system_store()).wrap_socket(sock, server_hostname=target.host)


def _read(stream: socket.socket, wire: h11.Connection) -> tuple[h11.Response, bytes]:
    response, start, taken = None, b"", 0
    while len(start) < READ_BYTES:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            data = stream.recv(READ_BYTES)
            taken += len(data)
            if taken > MAX_BYTES:
                raise InvalidResponse
            wire.receive_data(data)
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            start += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    if response is None:
        raise InvalidResponse
    return response, start


def _as_request_error(error: OSError | h11.RemoteProtocolError) -> RequestFailed:
    """The error as the delivery record has it. OpenSSL's message about a certificate says what a tenant has to fix."""
    match error:
        case ssl.SSLCertVerificationError():
            return TlsFailed(f"the host's certificate is not valid: {error.verify_message}")
        case ssl.SSLError():
            return TlsFailed()
        case OSError():
            return Unreachable()
        case _:
            return InvalidResponse()


@cache
def _system_store() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

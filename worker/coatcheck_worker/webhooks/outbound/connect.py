"""Connect to the address that was checked, and to no other."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from time import monotonic
from typing import Any, TypeAlias

from coatcheck.core.ssrf import Address, ParsedUrl, SsrfPolicy, allowed
from coatcheck_worker.webhooks.outbound.request_errors import NotAllowed, TimedOut, Unreachable

MAX_ADDRESSES = 3
"""How many addresses of a name are tried."""

Resolve: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]
"""`socket.getaddrinfo`, or a function like it."""


def connect(target: ParsedUrl, ssrf_policy: SsrfPolicy, deadline: float, resolve: Resolve) -> socket.socket:
    """A blocking TCP connection to a target, made before `deadline` (of `time.monotonic`).

    The name is resolved once. One forbidden address is enough to refuse it: a name with one internal address out of two
    is no accident. Raises NotAllowed, Unreachable or TimedOut.
    """
    addresses = [target.address] if target.address else _addresses(target, deadline, resolve)
    refused = [one for one in addresses if not allowed(one, ssrf_policy) or ssrf_policy.refuses(str(one), target.port)]
    if refused or not addresses:
        raise NotAllowed
    failure: OSError = TimeoutError()
    for left in range(min(len(addresses), MAX_ADDRESSES), 0, -1):
        timeout = (deadline - monotonic()) / left
        if timeout <= 0:
            break
        try:
            return _open(addresses.pop(0), target.port, timeout)
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise TimedOut("no connection was made in time") from failure
    raise Unreachable from failure


def _addresses(target: ParsedUrl, deadline: float, resolve: Resolve) -> list[Address]:
    """The addresses of a name. Resolves in a thread, since nothing stops a resolver that does not answer."""
    answers: queue.SimpleQueue[Sequence[tuple[Any, ...]]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolve(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            answers.put(())

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        found = answers.get(timeout=max(0.0, deadline - monotonic()))
    except queue.Empty:
        raise TimedOut("the host name was not resolved in time") from None
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in found))


def _open(address: Address, port: int, seconds: float) -> socket.socket:
    with ExitStack() as stack:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.settimeout(seconds)
        sock.connect((str(address), port))
        if ip_address(sock.getpeername()[0]) != address:
            raise NotAllowed
        sock.settimeout(None)
        stack.pop_all()
        return sock

"""A TCP proxy that breaks connections off in the middle of an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle


@dataclass
class CuttingProxy:
    """Passes connections on to each of the servers in turn; the first of them break off after `cuts` bytes."""

    url: str
    cuts: Sequence[int]
    done: int = field(default=0)
    """How many connections were broken off."""


@contextmanager
def cutting_proxy(ports: Sequence[int], cuts: Sequence[int]) -> Iterator[CuttingProxy]:
    """A proxy of the servers on these ports of this machine until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CuttingProxy(f"http://127.0.0.1:{listener.getsockname()[1]}", cuts)
        thread = threading.Thread(target=_accept, args=(listener, cycle(ports), proxy))
        thread.start()
        try:
            yield proxy
        finally:
            # a thread that waits in accept() does not notice that the socket is closed
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, ports: Iterator[int], proxy: CuttingProxy) -> None:
    limits = iter(proxy.cuts)
    with suppress(OSError):
        while True:
            downstream, _ = listener.accept()
            upstream = socket.create_connection(("127.0.0.1", next(ports)))
            threading.Thread(target=_copy, args=(downstream, upstream, None, proxy), daemon=True).start()
            limit = next(limits, None)
            threading.Thread(target=_copy, args=(upstream, downstream, limit, proxy), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, limit: int | None, proxy: CuttingProxy) -> None:
    """Copy up to `limit` bytes, then close both."""
    with suppress(OSError):
        while (limit is None or limit > 0) and (data := source.recv(65536 if limit is None else min(limit, 65536))):
            target.sendall(data)
            if limit is not None:
                limit -= len(data)
    if limit == 0:
        proxy.done += 1
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()

"""Ports of this machine for what a bench starts."""

from __future__ import annotations

import socket
import time

PATIENCE = 60.0
"""Seconds until a server that was started must accept connections."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Wait until a server accepts connections. Raises ConnectionRefusedError when it does not within `PATIENCE`."""
    give_up_at = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return

"""A client in a process of its own: sends one request again and again over one connection.

`python -m bench.service_client PORT METHOD PATH KEY BODY NUMBER`, as a child of the server.
"""

from __future__ import annotations

import re
import socket
import sys

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def main() -> None:
    """Send the requests."""
    port, method, path, key, body, number = sys.argv[1:]
    headers = f"host: localhost\r\nauthorization: Bearer {key}\r\naccept: */*\r\ncontent-type: application/json\r\n"
    request = f"{method} {path} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n{body}".encode()
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        for _ in range(int(number)):
            connection.sendall(request)
            status = _status(connection)
            assert status in {200, 202}, status


def _status(connection: socket.socket) -> int:
    held = b""
    while True:
        received = connection.recv(65536)
        assert received, held
        held += received
        head, found, body = held.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if found and length and len(body) >= int(length[1]):
            return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    main()

"""Serves an app under uvicorn on a socket that `up` opened: `python -m coatcheck_infra.local.serve APP FD`.

The socket outlives each server, so requests that arrive during a reload wait and are not refused. uvicorn's own --fd
treats every socket as a Unix socket, and asyncio then leaves TCP's delay on: 40 ms per request.
"""

from __future__ import annotations

import socket
import sys

import uvicorn

from coatcheck_service.http_server import server_config


def main(app: str, descriptor: int) -> None:
    """Serve `app`, the `module:name` of a factory, until SIGTERM."""
    listener = socket.socket(fileno=descriptor)
    uvicorn.Server(server_config(app)).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

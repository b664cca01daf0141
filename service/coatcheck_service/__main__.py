"""Serves the API on a port of this machine: `python -m coatcheck_service --host 0.0.0.0 --port 8000`."""

from __future__ import annotations

import argparse

import uvicorn

from coatcheck_service.http_server import server_config


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1 unless given)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000 unless given)")
    parser.add_argument(
        "--keep-alive",
        type=int,
        default=5,
        metavar="SECONDS",
        help="how long an idle connection is kept (5 unless given): behind a load balancer, longer than it keeps one",
    )
    options = parser.parse_args()
    listen = {"host": options.host, "port": options.port, "timeout_keep_alive": options.keep_alive}
    uvicorn.Server(server_config("coatcheck_service.main:app", **listen)).run()


if __name__ == "__main__":
    main()

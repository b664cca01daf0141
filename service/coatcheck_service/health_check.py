"""Whether the API on a port of this machine answers: `python -m coatcheck_service.health_check --port 8000`."""

from __future__ import annotations

import argparse
import http.client
import sys

HOST = "127.0.0.1"
TIMEOUT = 4.0
"""Seconds that the API has to answer: less than what a container's health check is given."""


def main() -> None:
    """End with 0 if it does, and else with one line on why not."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_service.health_check", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="the port that it listens on (8000 unless given)")
    options = parser.parse_args()
    connection = http.client.HTTPConnection(HOST, options.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/v1/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"port {options.port} does not answer: {error}")
    if status != http.client.OK:
        sys.exit(f"port {options.port} answers {status}")


if __name__ == "__main__":
    main()

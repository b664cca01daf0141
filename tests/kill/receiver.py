"""`python -m tests.kill.receiver FILE`: receives webhooks, and writes a line `id sha256` for each to the file."""

from __future__ import annotations

import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from coatcheck_infra.local import environment


class Handler(BaseHTTPRequestHandler):
    """Takes every event."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with Path(sys.argv[1]).open("a") as notes:
            notes.write(f"{self.headers['webhook-id']} {hashlib.sha256(body).hexdigest()}\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to tell."""


if __name__ == "__main__":
    server = ThreadingHTTPServer((environment.LOOPBACK, 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()

"""A service for a measurement: its uploads and results are in an S3 that keeps nothing (`bench.null_s3`), on one port.

`python -m bench.null_service` prints its URL. The job `job_SIZE` has a result of so many zero bytes. It checks nothing.
"""

from __future__ import annotations

import json
from typing import Any

from bench import null_s3
from coatcheck.core.part_plan import PartPlan, use_multipart

_EXPIRES = "2100-01-01T00:00:00Z"


class Handler(null_s3.Handler):
    """The routes of uploads and results; S3 for all others."""

    def do_POST(self) -> None:  # noqa: N802 - the name is http.server's
        """Create an upload, or complete one."""
        if not self.path.startswith("/v1/uploads"):
            super().do_POST()
        elif self.path.endswith("/complete"):
            described = {"filename": "f", "content_type": "-", "size": 0, "sha256": None, "ticket": None}
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer_json(200, {"id": "upl_1", **described, "complete": True, "expires_at": _EXPIRES})
        else:
            self._create(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_GET(self) -> None:  # noqa: N802 - as above
        """Redirect to a result; S3 for all others."""
        if not self.path.startswith("/v1/jobs/job_"):
            super().do_GET()
            return
        size = self.path.removeprefix("/v1/jobs/job_").partition("/")[0]
        self.send_response(303)
        self.send_header("Location", f"{self._url}/bucket/zeros-{size}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    @property
    def _url(self) -> str:
        return f"http://{self.headers['Host']}"

    def _create(self, given: dict[str, Any]) -> None:
        ticket: dict[str, Any] = {"id": "upl_1", "expires_at": _EXPIRES}
        if use_multipart(given["size"], requested=bool(given.get("multipart"))):
            plan = PartPlan.of(given["size"])
            parts = [{"number": n, "url": f"{self._url}/bucket/up?partNumber={n}"} for n in range(1, plan.count + 1)]
            ticket |= {"part_size": plan.part_size, "parts": parts, "next_parts": None}
        else:
            ticket |= {"method": "PUT", "url": f"{self._url}/bucket/up", "headers": {}}
        self._answer_json(201, ticket)

    def _answer_json(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    null_s3.serve(Handler)

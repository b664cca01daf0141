"""What a server answers the command line, and how that is started."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from starlette.responses import JSONResponse, Response

RUN = [sys.executable, "-c", "from coatcheck.cli.main import main; main()"]


def view(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    done = status not in {"scheduled", "queued", "running", "canceling"}
    known = {"id": "job_a", "type": "demo.sleep", "status": status, "done": done, "attempt": 1, "max_attempts": 3}
    return {**known, "created_at": "2026-11-01T10:00:00Z", **more}


def reply(status: str = "succeeded", **more: Any) -> Response:
    return JSONResponse(view(status, **more))


def problem(status: int, **more: Any) -> Response:
    return JSONResponse({"title": "Refused", "status": status, **more}, status, media_type="application/problem+json")


def stored(body: bytes, content_type: str) -> dict[str, Any]:
    return {"size": len(body), "content_type": content_type, "sha256": hashlib.sha256(body).hexdigest()}

"""How an answer may be kept (RFC 9111), as a table: every answer says it, so that no cache has to guess."""

from __future__ import annotations

from collections.abc import Mapping

_Headers = Mapping[str, str]

UNKEPT: _Headers = {"Cache-Control": "no-store"}
"""For what changes by itself, what holds a secret or a presigned URL, and every error."""

_ASKED_AGAIN: _Headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Prefer"}
"""May be kept by its client, and shown again when a request with its ETag is answered with 304."""

_SAME_FOR_ALL: _Headers = {"Cache-Control": "public, no-cache"}

KEPT: Mapping[str, _Headers] = {
    "submit": UNKEPT,
    "list_jobs": UNKEPT,
    "get_job": _ASKED_AGAIN,
    "delete_job": UNKEPT,
    "cancel_job": UNKEPT,
    "replay_job": UNKEPT,
    "list_events": UNKEPT,
    "get_result": _ASKED_AGAIN,
    "get_artifact": _ASKED_AGAIN,
    "list_deliveries": UNKEPT,
    "resend_delivery": UNKEPT,
    "create_upload": UNKEPT,
    "get_upload": UNKEPT,
    "list_upload_parts": UNKEPT,
    "complete_upload": UNKEPT,
    "create_webhook_endpoint": UNKEPT,
    "list_webhook_endpoints": UNKEPT,
    "get_webhook_endpoint": UNKEPT,
    "change_webhook_endpoint": UNKEPT,
    "delete_webhook_endpoint": UNKEPT,
    "rotate_webhook_secret": UNKEPT,
    "test_webhook_endpoint": UNKEPT,
    "list_test_deliveries": UNKEPT,
    "resend_test_delivery": UNKEPT,
    "list_job_types": {"Cache-Control": "private, max-age=60", "Vary": "Authorization"},
    "get_job_type": {"Cache-Control": "private, max-age=60", "Vary": "Authorization"},
    "health": UNKEPT,
    "problem": {"Cache-Control": "public, max-age=3600"},
    "root": UNKEPT,
    "openapi": _SAME_FOR_ALL,
    "docs": _SAME_FOR_ALL,
    "docs_asset": {"Cache-Control": "public, max-age=86400"},
}
"""By operation: what holds of its answers below 400, but for 303."""


def caching(operation: str | None, status: int) -> _Headers:
    """The headers of an answer with this status. `operation` is None where no route was found.

    303 leads to where this one request may go: a presigned URL.
    """
    if operation is None or status == 303 or status >= 400:
        return UNKEPT
    return KEPT.get(operation, UNKEPT)

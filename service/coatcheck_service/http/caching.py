"""The caching headers of every response (RFC 9111), as a table: each response has them, so no cache has to guess."""

from __future__ import annotations

from collections.abc import Mapping

from coatcheck_service.http.scopes import OPERATOR_SCOPES_OF

_Headers = Mapping[str, str]

NO_STORE: _Headers = {"Cache-Control": "no-store"}
"""For data that changes by itself, for secrets and presigned URLs, and for every error."""

_REVALIDATE: _Headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Prefer"}
"""The client may store the response, and reuse it when a request with its ETag is answered with 304."""

_PUBLIC_REVALIDATE: _Headers = {"Cache-Control": "public, no-cache"}

CACHE_POLICIES: Mapping[str, _Headers] = {
    "submit": NO_STORE,
    "list_jobs": NO_STORE,
    "get_job": _REVALIDATE,
    "delete_job": NO_STORE,
    "cancel_job": NO_STORE,
    "replay_job": NO_STORE,
    "list_events": NO_STORE,
    "list_tenant_events": NO_STORE,
    "get_result": _REVALIDATE,
    "get_artifact": _REVALIDATE,
    "list_deliveries": NO_STORE,
    "resend_delivery": NO_STORE,
    "create_upload": NO_STORE,
    "get_upload": NO_STORE,
    "list_upload_parts": NO_STORE,
    "complete_upload": NO_STORE,
    "create_webhook_endpoint": NO_STORE,
    "list_webhook_endpoints": NO_STORE,
    "get_webhook_endpoint": NO_STORE,
    "change_webhook_endpoint": NO_STORE,
    "delete_webhook_endpoint": NO_STORE,
    "rotate_webhook_secret": NO_STORE,
    "test_webhook_endpoint": NO_STORE,
    "list_test_deliveries": NO_STORE,
    "resend_test_delivery": NO_STORE,
    "list_job_types": {"Cache-Control": "private, max-age=60", "Vary": "Authorization"},
    "get_job_type": {"Cache-Control": "private, max-age=60", "Vary": "Authorization"},
    "health": NO_STORE,
    "problem": {"Cache-Control": "public, max-age=3600"},
    "root": NO_STORE,
    "openapi": _PUBLIC_REVALIDATE,
    "docs": _PUBLIC_REVALIDATE,
    "docs_asset": {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"},
    **dict.fromkeys(OPERATOR_SCOPES_OF, NO_STORE),
}
"""The headers of each operation's responses with a status below 400, except 303."""


def cache_headers(operation: str | None, status: int) -> _Headers:
    """Return the caching headers of a response with this status. `operation` is None if no route was found.

    A 303 must not be stored: it leads to a presigned URL, made for this one request.
    """
    if operation is None or status == 303 or status >= 400:
        return NO_STORE
    return CACHE_POLICIES.get(operation, NO_STORE)

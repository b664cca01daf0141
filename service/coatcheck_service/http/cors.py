"""Which pages of other origins may call the API from a browser (CORS): none, unless the deployment names origins.

The service answers preflight requests itself, at every front door.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from coatcheck_service.http.openapi import REQUEST_HEADERS, RESPONSE_HEADERS

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")

MAX_AGE_SECONDS = 3600
"""How long a browser may keep what a preflight has told it."""


def cors_for(origins: Sequence[str]) -> Callable[[ASGIApp], ASGIApp]:
    """Return what makes an app answer pages of `origins`. Without origins, it leaves an app as it is.

    No cookies: credentials are in a header that the page sets.
    """
    if not origins:
        return lambda app: app
    return partial(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=("Authorization", "Content-Type", "Traceparent", *REQUEST_HEADERS),
        expose_headers=("X-Request-Id", *RESPONSE_HEADERS),
        max_age=MAX_AGE_SECONDS,
    )

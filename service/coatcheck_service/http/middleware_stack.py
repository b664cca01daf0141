"""The middleware of the API, whatever is inside of it: FastAPI, or the routes that are served without it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware import Middleware

from coatcheck.core.tracer import Tracer
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.cors import cors_for
from coatcheck_service.http.direct_routes import DirectRoute, DirectRoutesMiddleware
from coatcheck_service.http.middleware import RequestMiddleware
from coatcheck_service.http.origin_secret import OriginSecretMiddleware


def middleware_of(dependencies: Dependencies, direct: Sequence[DirectRoute], tracer: Tracer) -> list[Middleware]:
    """Return what serves the routes of `direct`, and all that comes before; the outermost first."""
    settings = dependencies.settings
    cors = cors_for(settings.browser_origins)
    secret = settings.origin_secret
    return [
        Middleware(RequestMiddleware, dependencies=dependencies, cors=cors, tracer=tracer),
        *([Middleware(OriginSecretMiddleware, transport=dependencies.transport, name=secret)] if secret else []),
        Middleware(DirectRoutesMiddleware, routes=direct),
    ]

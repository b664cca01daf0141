"""Builds the API as one ASGI app from its arguments: nothing is read from the environment here."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from coatcheck.authoring.types import Catalog
from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import Settings
from coatcheck.core.tracer import NO_TRACER, Tracer
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import FrontDoor
from coatcheck_service.http.direct_routes import DirectRoute
from coatcheck_service.http.framework_problems import add_problem_handlers
from coatcheck_service.http.middleware_stack import middleware_of
from coatcheck_service.http.openapi import document_problems
from coatcheck_service.routes import (
    deliveries,
    docs,
    events,
    frequent,
    job_types,
    jobs,
    meta,
    results,
    uploads,
    webhooks,
)
from coatcheck_service.stop_signals import call_on_stop

TENANT_ROUTERS = (
    jobs.router,
    events.router,
    results.router,
    deliveries.router,
    uploads.router,
    job_types.router,
    webhooks.router,
    meta.router,
    docs.router,
)

DESCRIPTION = """\
Hand in work that does not fit in an HTTP request, and come back for the result.

`POST /v1/jobs` answers with a job at once. Look at it with `GET /v1/jobs/{id}` until `done` is true, then collect
`GET /v1/jobs/{id}/result`. Large inputs go through `POST /v1/uploads`. To be called instead of asking, name a URL in
`POST /v1/webhook-endpoints`, or in the job itself.
"""


def create_app(
    settings: Settings, catalog: Catalog, transport: AsyncTransport, front_door: FrontDoor, **options: Any
) -> FastAPI:
    """Build the whole API: see `build_app`."""
    from coatcheck_service.admin_routers import ADMIN_ROUTERS  # noqa: PLC0415 - functions of Lambda do not load both

    routers = (*TENANT_ROUTERS, *ADMIN_ROUTERS)
    return build_app(routers, settings, catalog, transport, front_door, direct=frequent.DIRECT_ROUTES, **options)


def build_app(
    routers: Sequence[APIRouter],
    settings: Settings,
    catalog: Catalog,
    transport: AsyncTransport,
    front_door: FrontDoor,
    *,
    clock: Callable[[], int] = system_clock,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    **options: Any,
) -> FastAPI:
    """Build the API of `settings` with the routes of `routers`: see `app_of`.

    `clock` returns milliseconds since the epoch, `entropy(n)` returns n random bytes. Raises BadSettings when a job
    type's lane has no queue, or is the lane of the webhooks.
    """
    return app_of(routers, Dependencies(settings, catalog, transport, front_door, clock, entropy), **options)


def app_of(
    routers: Sequence[APIRouter],
    dependencies: Dependencies,
    *,
    direct: Sequence[DirectRoute] = (),
    on_start: Callable[[], Awaitable[None]] | None = None,
    tracer: Tracer = NO_TRACER,
    on_stop: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the API with the routes of `routers`, which are served with `dependencies`; those of `direct` without
    FastAPI in between.

    It awaits `on_start` before the first request; after the last it calls `on_stop` and closes the transport.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if on_start is not None:
            await on_start()
        call_on_stop(dependencies.close_feeds)
        yield
        dependencies.close_feeds()
        on_stop()
        await dependencies.transport.aclose()

    app = _CoatcheckApi(
        title="Coatcheck",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        middleware=middleware_of(dependencies, direct, tracer),
        openapi_url=None,  # `routes.docs` serves the document and the page, so they need no other origin
        redirect_slashes=False,
    )
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    add_problem_handlers(app)
    return app


class _CoatcheckApi(FastAPI):
    """FastAPI whose OpenAPI document shows the errors that the service really sends."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, built once."""
        if not self.openapi_schema:
            self.openapi_schema = document_problems(super().openapi())
        return self.openapi_schema

"""Serves the routes that are asked for most without FastAPI in between.

FastAPI still has these routes: for the OpenAPI document, and for the methods that they do not have. Here a request
meets what it would have met there, the same endpoint and the same answers to errors, but no search through all routes,
no solving of dependencies, and no checks of parameters that have none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck_service.http.authentication import authenticate, bearer
from coatcheck_service.http.problems import problem_of

DIRECT = frozenset({"get_job", "submit"})
"""The operations that are asked for most."""

Endpoint = Callable[..., Awaitable[Response]]
"""Takes the context, the request, and the parameters of its path, which are text."""


class DirectRoutesMiddleware:
    """Serves `routes`; all other requests are the app's."""

    def __init__(self, app: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._app = app
        self._routes = [(method, route) for route in routes for method in route.methods or ()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = _path_of(scope)
            for method, route in self._routes:
                if scope["method"] == method and (found := route.path_regex.match(path)):
                    scope.update(route=route, endpoint=route.endpoint, path_params=found.groupdict())
                    response = await _answer(Request(scope, receive, send), route.endpoint)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _answer(request: Request, endpoint: Endpoint) -> Response:
    try:
        context = await authenticate(request, await bearer(request))
        return await endpoint(context, request, **request.path_params)
    except Exception as error:
        response = problem_of(request, error)
        if response is None:
            raise
        return response


def _path_of(scope: Scope) -> str:
    """The path below the app's root, as the routes have it."""
    path, root = scope["path"], scope.get("root_path", "")
    below: str = path.removeprefix(root)
    return below if not below or below.startswith("/") else path

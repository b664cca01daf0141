"""Serves the routes that are asked for most without FastAPI in between.

FastAPI has these routes as well: for the OpenAPI document, and for the methods that they do not have. Here a request
meets what it would have met there, the same endpoint and the same answers to errors, but no search through all routes,
no solving of dependencies, and no checks of parameters that have none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck_service.http.authentication import authenticate, bearer_token
from coatcheck_service.http.problems import problem_of

Endpoint = Callable[..., Awaitable[Response]]
"""Takes the context, the request, and the parameters of its path, which are text."""


@dataclass(frozen=True)
class DirectRoute:
    """A route with what is read of one of FastAPI's: its path, its methods, and the operation's id."""

    method: str
    path: str
    operation_id: str
    endpoint: Endpoint

    @functools.cached_property
    def path_regex(self) -> re.Pattern[str]:
        """What its paths match."""
        return compile_path(self.path)[0]

    @functools.cached_property
    def methods(self) -> frozenset[str]:
        """Its one method."""
        return frozenset({self.method})


class DirectRoutesMiddleware:
    """Serves `routes`; all other requests are the app's."""

    def __init__(self, app: ASGIApp, routes: Sequence[DirectRoute]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = _path_of(scope)
            for route in self._routes:
                if scope["method"] == route.method and (found := route.path_regex.match(path)):
                    scope.update(route=route, endpoint=route.endpoint, path_params=found.groupdict())
                    response = await _answer(Request(scope, receive, send), route.endpoint)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def is_direct(routes: Sequence[DirectRoute], scope: Scope) -> bool:
    """Whether a request is for one of `routes`."""
    return any(route.method == scope["method"] and route.path_regex.match(_path_of(scope)) for route in routes)


async def _answer(request: Request, endpoint: Endpoint) -> Response:
    try:
        context = await authenticate(request, bearer_token(request))
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

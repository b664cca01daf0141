"""The errors of FastAPI itself as problems: a path or method that is not there, a parameter that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from coatcheck.core.errors import MalformedJson, MethodNotAllowed, NotFound
from coatcheck_service.http.field_errors import field_errors, invalid_request
from coatcheck_service.http.problems import PROBLEMS, problem_response


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer every known error with a problem. Unexpected errors are left to `middleware`."""
    for known, make in {**PROBLEMS, **_FRAMEWORK_PROBLEMS}.items():
        app.add_exception_handler(known, partial(_on_error, make))


async def _on_error(make: Callable[[Request, Any], Response], request: Request, error: Exception) -> Response:
    return make(request, error)


def _parameters_problem(request: Request, error: RequestValidationError) -> Response:
    errors = [{**found, "loc": found["loc"][1:]} for found in error.errors()]
    return problem_response(request, invalid_request(field_errors(errors)))


def _framework_problem(request: Request, error: HTTPException) -> Response:
    """Answer what the framework itself refuses, such as an unknown path or method."""
    if error.status_code == 405:
        allowed = _allowed(request, error)
        not_allowed = MethodNotAllowed(f"The path does not have this method: use {allowed}.")
        return problem_response(request, not_allowed, {"Allow": allowed})
    if error.status_code == 404:
        return problem_response(request, NotFound("There is no such path: see /docs for the API."))
    return problem_response(request, MalformedJson("The request is not valid HTTP or JSON."))


def _allowed(request: Request, error: HTTPException) -> str:
    """Return the methods of all routes at this path. Starlette names only those of the first."""
    routes: Sequence[APIRoute] = request.app.state.routes
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in matching for method in route.methods or ()} or {
        (error.headers or {}).get("Allow", "GET")
    }
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


_FRAMEWORK_PROBLEMS: Mapping[type[Exception], Callable[[Request, Any], Response]] = {
    RequestValidationError: _parameters_problem,
    HTTPException: _framework_problem,
}

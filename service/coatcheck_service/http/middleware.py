"""Middleware for every request: its id, HEAD, caching headers, its line in the log, and a problem for an unexpected
error."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck.core.log import log_context
from coatcheck.core.metrics.requests import request_answered
from coatcheck.core.trace import TraceContext, incoming
from coatcheck.core.tracer import Tracer
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import DOOR_REQUEST_ID
from coatcheck_service.http.caching import cache_headers
from coatcheck_service.http.problems import unexpected_response

log = logging.getLogger(__name__)

_TRACE_HEADERS = frozenset({b"traceparent", b"x-amzn-trace-id"})

REQUEST_ID = b"x-request-id"

PREFERENCE_APPLIED = b"preference-applied"
"""A response that has it was held back because its client wanted to wait (RFC 7240)."""


class RequestMiddleware:
    """The outermost ASGI middleware of the app itself. It hands on `dependencies` with each request.

    `cors` wraps what answers, so that pages of other origins may read it, unexpected errors too.
    """

    def __init__(
        self, app: ASGIApp, dependencies: Dependencies, cors: Callable[[ASGIApp], ASGIApp], tracer: Tracer
    ) -> None:
        self._app = cors(app)
        self._cors = cors
        self._dependencies = dependencies
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        inner_scope, trace = self._inner_scope(scope), self._trace(scope)
        inner_scope["state"]["trace"] = trace
        with log_context(request_id=inner_scope["state"]["request_id"], trace_id=trace.trace_id if trace else None):
            await self._serve(inner_scope, scope["method"], receive, send)

    async def _serve(self, inner_scope: Scope, method: str, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        recorder = _ResponseRecorder(send, inner_scope, self._tracer)
        try:
            await self._app(inner_scope, receive, recorder.send)
        except ClientDisconnect:
            recorder.status = 499
        except Exception:
            log.exception("unexpected")
            if recorder.status is not None:
                raise
            await self._cors(unexpected_response(Request(inner_scope)))(inner_scope, receive, recorder.send)
        finally:
            _log(inner_scope, method, recorder, time.perf_counter() - started)
            _count(inner_scope, recorder, started)

    def _inner_scope(self, scope: Scope) -> Scope:
        """Build the scope that the routes see. HEAD becomes GET; the server leaves the body out (RFC 9110, 9.3.2)."""
        head = scope["method"] == "HEAD"
        state = {
            **scope.get("state", {}),
            "dependencies": self._dependencies,
            "request_id": self._request_id(scope),
            "head": head,
            "principal": None,
        }
        return {**scope, "method": "GET" if head else scope["method"], "state": state}

    def _trace(self, scope: Scope) -> TraceContext | None:
        """What jobs of this request continue: the span that FastAPI makes of it, if it is configured to, else what the
        client's headers say."""
        if (current := self._tracer.current()) is not None:
            return current
        brought = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _TRACE_HEADERS}
        return incoming(traceparent=brought.get(b"traceparent"), xray=brought.get(b"x-amzn-trace-id"))

    def _request_id(self, scope: Scope) -> str:
        return str(scope.get(DOOR_REQUEST_ID) or self._dependencies.entropy(16).hex())


class _ResponseRecorder:
    """Records the status of a response, when it begins, and whether it waited for a job; adds the headers of all.

    It names the request's span by its route, as FastAPI does with routes that it has found itself.
    """

    def __init__(self, send: Send, scope: Scope, tracer: Tracer) -> None:
        self._tracer = tracer
        self._send = send
        self._scope = scope
        self.request_id: str = scope["state"]["request_id"]
        self.status: int | None = None
        self.begun: float | None = None
        self.waited = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = status = message["status"]
            self.begun = time.perf_counter()
            route = self._scope.get("route")
            if route is not None:
                self._tracer.describe_current(f"{self._scope['method']} {route.path}", {"http.route": route.path})
            operation = getattr(route, "operation_id", None)
            there = {name for name, _ in message["headers"]}
            self.waited = PREFERENCE_APPLIED in there
            added = [header for header in _common_headers(operation, status) if header[0] not in there]
            headers = [*message["headers"], (REQUEST_ID, self.request_id.encode()), *added]
            message = {**message, "headers": headers}
        await self._send(message)


@functools.cache
def _common_headers(operation: str | None, status: int) -> Sequence[tuple[bytes, bytes]]:
    """The headers of each response of an operation with this status, unless it has its own, as a server sends them."""
    headers = {"X-Content-Type-Options": "nosniff", **cache_headers(operation, status)}
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _log(scope: Scope, method: str, recorder: _ResponseRecorder, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", None)
    principal = scope["state"]["principal"]
    log.info(
        "%s %s %s",
        method,
        route or "(no route)",
        recorder.status,
        extra={
            "ms": round(seconds * 1000, 1),
            "tenant": getattr(principal, "tenant", None),
        },
    )


def _count(scope: Scope, recorder: _ResponseRecorder, started: float) -> None:
    """Record the metrics of the request. Which endpoints there are is bounded; what a client sends is not."""
    method, route = scope["method"], scope.get("route")
    known = route is not None and method in (getattr(route, "methods", None) or ())
    begun = None if recorder.waited else recorder.begun
    request_answered(
        method=method,
        route=scope["route"].path if known else None,
        status=recorder.status,
        tenant=getattr(scope["state"]["principal"], "tenant", None),
        seconds=None if begun is None else begun - started,
    )

"""Authentication: finds who calls, and whether they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.types import Scope

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.errors import MissingScope, ServiceError, Unauthenticated
from coatcheck.core.log import add_to_log_context
from coatcheck.core.principal import Principal
from coatcheck.core.trace import TraceContext
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import FRONT_DOOR, FrontDoor
from coatcheck_service.http.authenticators import identify
from coatcheck_service.http.gateway_identity import identify_by_gateway
from coatcheck_service.http.scopes import SCOPES
from coatcheck_service.identity_sources import IdentitySources


async def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The tenant of a request, the dependencies that serve it, and the URL, without /v1, of the service for the caller.

    `host` is the Host of this request, which need not be the one in that URL. `own_door` is the door that it came
    through, unless that is the process's only one. An answer that takes long asks `is_still_allowed` whether the
    credentials are still good. `trace` is what jobs made by it continue.
    """

    tenant: str
    base_url: str
    dependencies: Dependencies
    host: str = ""
    is_still_allowed: Callable[[], Awaitable[bool]] = _always
    own_door: FrontDoor | None = None
    trace: TraceContext | None = None

    @property
    def front_door(self) -> FrontDoor:
        """The door that the request came through."""
        return self.own_door or self.dependencies.front_door


def bearer_token(request: Request) -> str | None:
    """Return the token of the `Authorization: Bearer` header, found as FastAPI's `HTTPBearer` finds it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


async def authenticate(request: Request, token: str | None) -> RequestContext:
    """Return the context of the caller that brought the bearer token.

    Raises Unauthenticated without valid credentials, and MissingScope or Forbidden.
    """
    dependencies = dependencies_of(request)
    refuse_several_credentials(request)
    principal = await _identify(request.scope, token, dependencies.identities)
    request.state.principal = principal
    add_to_log_context(key=principal.key_id, subject=principal.subject)
    needed = SCOPES[request.scope["route"].operation_id]
    if needed is not None and needed not in principal.scopes:
        raise MissingScope(f"These credentials lack the scope `{needed}`.", needed)
    own_url = str(request.base_url)
    return RequestContext(
        tenant=principal.tenant,
        base_url=dependencies.settings.public_url or own_url.rstrip("/"),
        dependencies=dependencies,
        host=own_url.partition("://")[2].partition("/")[0],
        is_still_allowed=partial(_is_allowed, request.scope, token, dependencies.identities),
        own_door=request.scope.get(FRONT_DOOR),
        trace=request.state.trace,
    )


def refuse_several_credentials(request: Request) -> None:
    """Raise Unauthenticated for a request with more than one `Authorization` header."""
    if len(request.headers.getlist("authorization")) > 1:
        raise Unauthenticated("There are several `Authorization` headers: send one.")


async def _identify(scope: Scope, token: str | None, sources: IdentitySources) -> Principal:
    """Return whom API Gateway vouches for, where it does, else whose the bearer token is."""
    if principal := await identify_by_gateway(scope.get("aws.event", {}), sources):
        return principal
    if token is None:
        raise Unauthenticated("The `Authorization: Bearer` header with an API key or a token is missing.")
    return await identify(token, sources)


async def _is_allowed(scope: Scope, token: str | None, sources: IdentitySources) -> bool:
    try:
        await _identify(scope, token, sources)
    except (ServiceError, AwsError, NewerRow):
        return False
    return True


def dependencies_of(request: Request) -> Dependencies:
    """Return the dependencies that serve `request`, which `RequestMiddleware` has put there."""
    dependencies: Dependencies = request.state.dependencies
    return dependencies


def base_url(request: Request) -> str:
    """Return the URL by which clients reach the service, without /v1 and trailing slash."""
    return dependencies_of(request).settings.public_url or str(request.base_url).rstrip("/")

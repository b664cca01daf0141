"""Authentication: finds the tenant of an API key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from coatcheck.core.errors import Unauthenticated
from coatcheck_service.dependencies import Dependencies

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key of this service.")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The tenant of a request, the dependencies that serve it, and the URL, without /v1, of the service for the caller.

    `host` is the Host of this request, which need not be the one in that URL.
    """

    tenant: str
    base_url: str
    dependencies: Dependencies
    host: str = ""


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> RequestContext:
    """Return the caller's context. Raises Unauthenticated without a known API key."""
    dependencies = dependencies_of(request)
    if credentials is None:
        raise Unauthenticated("The `Authorization: Bearer <API key>` header is missing.")
    tenant = tenant_of(credentials.credentials, dependencies.settings.api_keys)
    if tenant is None:
        raise Unauthenticated("The API key is unknown.")
    request.state.tenant = tenant
    return RequestContext(tenant, base_url(request), dependencies, request.base_url.netloc)


Authenticated = Annotated[RequestContext, Depends(authenticate)]


def tenant_of(key: str, tenants: Mapping[str, str]) -> str | None:
    """Return the tenant of an API key, in a time that does not depend on it. `tenants` maps hex SHA-256 to tenant."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    matches = [tenant for other, tenant in tenants.items() if hmac.compare_digest(digest, other)]
    return matches[0] if matches else None


def dependencies_of(request: Request) -> Dependencies:
    """Return the dependencies of the app that serves `request`."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


def base_url(request: Request) -> str:
    """Return the URL by which clients reach the service, without /v1 and trailing slash."""
    return dependencies_of(request).settings.public_url or str(request.base_url).rstrip("/")

"""Who asks: the tenant that an API key stands for."""

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
    """Whose request it is, what serves it, and by what URL, without /v1, the caller reaches the service.

    `host` is the Host of this request, which need not be the one in that URL.
    """

    tenant: str
    base_url: str
    dependencies: Dependencies
    host: str = ""


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> RequestContext:
    """The caller. Raises Unauthenticated without a key that is known."""
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
    """The tenant of an API key; `tenants` maps hex sha256 to tenant. Takes as long whichever key it is."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    matches = [tenant for other, tenant in tenants.items() if hmac.compare_digest(digest, other)]
    return matches[0] if matches else None


def dependencies_of(request: Request) -> Dependencies:
    """What this app was made with."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


def base_url(request: Request) -> str:
    """What clients reach the service by, without /v1 and trailing slash."""
    return dependencies_of(request).settings.public_url or str(request.base_url).rstrip("/")

"""Authentication as FastAPI's routes declare it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from coatcheck_service.http.authentication import RequestContext, authenticate

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="An API key of this service, or a token of an issuer that it trusts.",
)


async def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> RequestContext:
    """Return the caller's context: see `authenticate`."""
    return await authenticate(request, credentials.credentials if credentials else None)


Authenticated = Annotated[RequestContext, Depends(authenticated)]

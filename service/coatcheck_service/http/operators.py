"""Authentication of operators: whoever runs the deployment sees all tenants, by routes and by keys of their own.

No credentials of a tenant open a route under /v1/admin, whatever their scopes; and no operator's key opens another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from coatcheck.core.api_keys import ApiKey, read_key
from coatcheck.core.errors import MissingScope, Unauthenticated
from coatcheck.core.ids import TENANT_PATTERN
from coatcheck.core.log import add_to_log_context
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import FRONT_DOOR, FrontDoor
from coatcheck_service.http.authentication import (
    RequestContext,
    base_url,
    dependencies_of,
    refuse_several_credentials,
)
from coatcheck_service.http.authenticators import active_key
from coatcheck_service.http.scopes import OPERATOR_SCOPES_OF

NOT_AN_OPERATOR = "This is no operator's key, and only those open the routes under /v1/admin."

_bearer = HTTPBearer(auto_error=False, scheme_name="OperatorKey", description="An operator's key of this service.")


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """An operator's key, the dependencies that serve the request, and the URL, without /v1, of the service.

    `own_door` is as that of a RequestContext.
    """

    key: ApiKey
    dependencies: Dependencies
    base_url: str
    own_door: FrontDoor | None = None

    def of_tenant(self, tenant: str) -> RequestContext:
        """Return the context of what is done to a tenant's things for the operator."""
        return RequestContext(tenant, self.base_url, self.dependencies, own_door=self.own_door)


async def authenticate_operator(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> OperatorContext:
    """Return the operator's context. Raises Unauthenticated without an operator's key, and MissingScope."""
    dependencies = dependencies_of(request)
    refuse_several_credentials(request)
    if credentials is None:
        raise Unauthenticated("The `Authorization: Bearer` header with an operator's key is missing.")
    presented = read_key(credentials.credentials)
    if not presented.is_operators:
        raise Unauthenticated(NOT_AN_OPERATOR)
    key = await active_key(presented, dependencies.identities)
    add_to_log_context(key=key.id)
    needed = OPERATOR_SCOPES_OF[request.scope["route"].operation_id]
    if needed not in key.scopes:
        raise MissingScope(f"These credentials lack the scope `{needed}`.", needed)
    return OperatorContext(key, dependencies, base_url(request), request.scope.get(FRONT_DOOR))


Operator = Annotated[OperatorContext, Depends(authenticate_operator)]

TenantName = Annotated[str, Path(pattern=TENANT_PATTERN, description="a tenant's name", examples=["acme"])]

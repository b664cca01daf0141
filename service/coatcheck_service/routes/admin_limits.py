"""Operators: what a tenant may use."""

from __future__ import annotations

from fastapi import APIRouter, Request

from coatcheck.core.api.limit_models import LimitsChange, LimitsView
from coatcheck.core.errors import InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType
from coatcheck_service.actions.admin_limits import change_limits, read_limits
from coatcheck_service.http.body import read_json
from coatcheck_service.http.openapi import problem_docs, request_doc
from coatcheck_service.http.operators import Operator, TenantName

router = APIRouter(prefix="/v1/admin/tenants/{tenant}/limits", tags=["admin"])

_BODY_ERRORS = problem_docs(InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType)
_BODY = request_doc(body=LimitsChange)


@router.get("", operation_id="admin_get_limits", responses=problem_docs(InvalidRequest))
async def get_limits(context: Operator, tenant: TenantName) -> LimitsView:
    """See the limits of a tenant."""
    return await read_limits(context.of_tenant(tenant))


@router.put("", operation_id="admin_set_limits", responses=_BODY_ERRORS, openapi_extra=_BODY)
async def set_limits(context: Operator, request: Request, tenant: TenantName) -> LimitsView:
    """Set all limits of a tenant: those that are not named are none. They hold everywhere within half a minute."""
    of_tenant = context.of_tenant(tenant)
    received = await read_json(of_tenant, request, LimitsChange)
    return await change_limits(of_tenant, received.value.all_limits())


@router.patch("", operation_id="admin_change_limits", responses=_BODY_ERRORS, openapi_extra=_BODY)
async def patch_limits(context: Operator, request: Request, tenant: TenantName) -> LimitsView:
    """Change the limits of a tenant that are named; null removes one. They hold everywhere within half a minute."""
    of_tenant = context.of_tenant(tenant)
    received = await read_json(of_tenant, request, LimitsChange)
    return await change_limits(of_tenant, received.value.changes())

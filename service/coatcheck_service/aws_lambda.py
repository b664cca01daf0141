"""The API as a Lambda function behind API Gateway, or a function URL: what tenants may call.

Everything that most requests need is made when the module is imported. SnapStart takes its snapshot after that, and
what is in the snapshot costs the first request nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coatcheck_service.lambda_adapter import make_handler
from coatcheck_service.routes.frequent import DIRECT_ROUTES

if TYPE_CHECKING:
    from fastapi import APIRouter


def _routers() -> Sequence[APIRouter]:
    from coatcheck_service.app import TENANT_ROUTERS  # noqa: PLC0415 - loads FastAPI

    return TENANT_ROUTERS


handler = make_handler(_routers, DIRECT_ROUTES)

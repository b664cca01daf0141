"""The API as a Lambda function behind API Gateway, or a function URL: what tenants may call.

Everything is made when the module is imported. SnapStart takes its snapshot after that, and what is in the snapshot
costs the first request nothing.
"""

from __future__ import annotations

from coatcheck_service.app import TENANT_ROUTERS
from coatcheck_service.lambda_adapter import make_handler

handler = make_handler(TENANT_ROUTERS)

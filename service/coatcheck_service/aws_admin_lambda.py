"""The routes of operators as a Lambda function of their own, whose role may do what the API's may not."""

from __future__ import annotations

from coatcheck_service.admin_routers import ADMIN_ROUTERS
from coatcheck_service.lambda_adapter import make_handler

handler = make_handler(lambda: ADMIN_ROUTERS)

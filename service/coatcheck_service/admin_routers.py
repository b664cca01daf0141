"""The routes of operators, in a module of their own: the tenants' function starts without them."""

from __future__ import annotations

from coatcheck_service.routes import admin_jobs, admin_limits, admin_queues

ADMIN_ROUTERS = (admin_jobs.router, admin_queues.router, admin_limits.router)
"""What only operators may call. On AWS they are served by a function of their own, with a role of its own."""

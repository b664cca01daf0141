"""The scope that each operation needs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from coatcheck.core.api_keys import OperatorScope, Scope

SCOPES: Mapping[str, Scope | None] = MappingProxyType(
    {
        "submit": Scope.JOBS_SUBMIT,
        "replay_job": Scope.JOBS_SUBMIT,
        "create_upload": Scope.JOBS_SUBMIT,
        "get_upload": Scope.JOBS_SUBMIT,
        "list_upload_parts": Scope.JOBS_SUBMIT,
        "complete_upload": Scope.JOBS_SUBMIT,
        "list_jobs": Scope.JOBS_READ,
        "get_job": Scope.JOBS_READ,
        "list_events": Scope.JOBS_READ,
        "list_tenant_events": Scope.JOBS_READ,
        "get_result": Scope.RESULTS_READ,
        "get_artifact": Scope.RESULTS_READ,
        "cancel_job": Scope.JOBS_CANCEL,
        "delete_job": Scope.JOBS_CANCEL,
        # they show where webhooks go and what was answered there
        "list_deliveries": Scope.WEBHOOKS_MANAGE,
        "resend_delivery": Scope.WEBHOOKS_MANAGE,
        "create_webhook_endpoint": Scope.WEBHOOKS_MANAGE,
        "list_webhook_endpoints": Scope.WEBHOOKS_MANAGE,
        "get_webhook_endpoint": Scope.WEBHOOKS_MANAGE,
        "change_webhook_endpoint": Scope.WEBHOOKS_MANAGE,
        "delete_webhook_endpoint": Scope.WEBHOOKS_MANAGE,
        "rotate_webhook_secret": Scope.WEBHOOKS_MANAGE,
        "test_webhook_endpoint": Scope.WEBHOOKS_MANAGE,
        "list_test_deliveries": Scope.WEBHOOKS_MANAGE,
        "resend_test_delivery": Scope.WEBHOOKS_MANAGE,
        "list_job_types": None,
        "get_job_type": None,
    }
)
"""By operation id. None: any credentials will do. An operation that needs none at all is not in here."""

OPERATOR_SCOPES_OF: Mapping[str, OperatorScope] = MappingProxyType(
    {
        "admin_list_tenants": OperatorScope.READ,
        "admin_get_limits": OperatorScope.READ,
        "admin_set_limits": OperatorScope.WRITE,
        "admin_change_limits": OperatorScope.WRITE,
        "admin_list_jobs": OperatorScope.READ,
        "admin_get_job": OperatorScope.READ,
        "admin_cancel_job": OperatorScope.WRITE,
        "admin_list_stuck_jobs": OperatorScope.READ,
        "admin_list_queues": OperatorScope.READ,
        "admin_list_dead_letters": OperatorScope.READ,
        "admin_get_dead_letter": OperatorScope.READ,
        "admin_redrive_dead_letter": OperatorScope.WRITE,
        "admin_discard_dead_letter": OperatorScope.WRITE,
    }
)
"""By operation id: what an operator's key needs. No tenant's credentials open these."""

"""Deliveries: what was sent by webhook of a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from coatcheck.core.api.models import Listing
from coatcheck.core.api.webhook_models import DeliveryView
from coatcheck.core.api.webhook_views import delivery_view
from coatcheck.core.errors import ChangedMeanwhile, Gone, InvalidRequest, NotFound, TooManyWebhookTests
from coatcheck_service.actions.job_lookup import find_retained
from coatcheck_service.actions.webhook_deliveries import DeliveryQuery, list_deliveries, resend
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.openapi import problem_docs, response_doc
from coatcheck_service.http.path_parameters import DeliveryId, JobId

router = APIRouter(prefix="/v1/jobs/{job_id}/deliveries", tags=["webhooks"])


@router.get("", operation_id="list_deliveries", responses=problem_docs(NotFound, Gone, InvalidRequest))
async def get_deliveries(
    context: Authenticated, job_id: JobId, query: Annotated[DeliveryQuery, Query()]
) -> Listing[DeliveryView]:
    """List the webhooks of a job, each with every attempt to deliver it."""
    return await list_deliveries(context, await find_retained(context, job_id), query)


@router.post(
    "/{delivery_id}/resend",
    operation_id="resend_delivery",
    status_code=202,
    responses=response_doc(202, "It is on its way.", model=DeliveryView)
    | problem_docs(NotFound, Gone, ChangedMeanwhile, TooManyWebhookTests),
)
async def resend_delivery(context: Authenticated, job_id: JobId, delivery_id: DeliveryId) -> DeliveryView:
    """Send a webhook again, under its old `webhook-id`; one that waits for its next attempt does not wait longer."""
    return delivery_view(await resend(context, await find_retained(context, job_id), delivery_id))

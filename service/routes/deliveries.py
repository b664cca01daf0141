"""Deliveries: what was sent by webhook of a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from coatcheck.errors import ChangedMeanwhile, Gone, InvalidRequest, NotFound
from coatcheck.webhook_views import delivery_view
from coatcheck.wire import Listing
from coatcheck.wire_webhooks import DeliveryView
from service.caller import Authenticated
from service.deliveries import DeliveryQuery, list_deliveries, resend
from service.documented import DeliveryId, JobId, answers, guarded
from service.jobs import find_kept

router = APIRouter(prefix="/v1/jobs/{job_id}/deliveries", tags=["webhooks"])


@router.get("", operation_id="list_deliveries", responses=guarded(NotFound, Gone, InvalidRequest))
async def get_deliveries(
    caller: Authenticated, job_id: JobId, query: Annotated[DeliveryQuery, Query()]
) -> Listing[DeliveryView]:
    """List the webhooks of a job, each with every attempt to deliver it."""
    return await list_deliveries(caller, await find_kept(caller, job_id), query)


@router.post(
    "/{delivery_id}/resend",
    operation_id="resend_delivery",
    status_code=202,
    responses=answers(202, "It is on its way.", model=DeliveryView) | guarded(NotFound, Gone, ChangedMeanwhile),
)
async def resend_delivery(caller: Authenticated, job_id: JobId, delivery_id: DeliveryId) -> DeliveryView:
    """Send a webhook again, under its old `webhook-id`; one that waits for its next attempt does not wait longer."""
    return delivery_view(await resend(caller, await find_kept(caller, job_id), delivery_id))

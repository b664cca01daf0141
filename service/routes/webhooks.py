"""Webhook endpoints: where a tenant's events go."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from coatcheck.errors import (
    ChangedMeanwhile,
    InvalidRequest,
    MalformedJson,
    NotFound,
    PayloadTooLarge,
    ReservedEndpoint,
    TooManyEndpoints,
    UnsupportedMediaType,
)
from coatcheck.webhook_views import delivery_view, endpoint_view
from coatcheck.wire import Listing
from coatcheck.wire_webhooks import DeliveryView, EndpointChange, EndpointRequest, EndpointView, EndpointWithSecret
from service import webhooks
from service.body import read_json
from service.caller import Authenticated
from service.deliveries import DeliveryQuery, list_deliveries, resend, send_test
from service.documented import DeliveryId, EndpointId, answers, guarded, takes

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])

_BODY = (InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType)
_OWN = (NotFound, ReservedEndpoint)


@router.post(
    "",
    operation_id="create_webhook_endpoint",
    status_code=201,
    responses=answers(201, "The endpoint, with its secret.", "Location", model=EndpointWithSecret)
    | guarded(*_BODY, TooManyEndpoints),
    openapi_extra=takes(body=EndpointRequest),
)
async def create_endpoint(caller: Authenticated, request: Request) -> Response:
    """Have events of all jobs that are submitted from now on sent to a URL. The secret is shown this once."""
    received = await read_json(caller, request, EndpointRequest)
    made = await webhooks.create(caller, received.asked)
    return _shown(made, 201, {"Location": f"{caller.base_url}{router.prefix}/{made.id}"})


@router.get("", operation_id="list_webhook_endpoints", responses=guarded())
async def get_endpoints(caller: Authenticated) -> Listing[EndpointView]:
    """List all webhook endpoints, the oldest first."""
    return Listing(data=[endpoint_view(one) for one in await webhooks.list_own(caller)], next=None)


@router.get("/{endpoint_id}", operation_id="get_webhook_endpoint", responses=guarded(NotFound))
async def get_endpoint(caller: Authenticated, endpoint_id: EndpointId) -> EndpointView:
    """Look at an endpoint."""
    return endpoint_view(await webhooks.find(caller, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    operation_id="change_webhook_endpoint",
    responses=answers(200, "The endpoint as it is now.", model=EndpointView) | guarded(*_BODY, *_OWN, ChangedMeanwhile),
    openapi_extra=takes(body=EndpointChange),
)
async def change_endpoint(caller: Authenticated, request: Request, endpoint_id: EndpointId) -> EndpointView:
    """Change an endpoint. To enable it is to forget how it fared before; so is another URL."""
    received = await read_json(caller, request, EndpointChange)
    return endpoint_view(await webhooks.change(caller, endpoint_id, received.asked))


@router.delete(
    "/{endpoint_id}",
    operation_id="delete_webhook_endpoint",
    status_code=204,
    responses=answers(204, "Nothing is sent there any more.") | guarded(*_OWN),
)
async def delete_endpoint(caller: Authenticated, endpoint_id: EndpointId) -> Response:
    """Remove an endpoint."""
    await webhooks.delete(caller, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    responses=answers(200, "The endpoint, with its new secret.", model=EndpointWithSecret)
    | guarded(NotFound, ChangedMeanwhile),
)
async def rotate_secret(caller: Authenticated, endpoint_id: EndpointId) -> Response:
    """Give an endpoint a new secret; for 24 hours, webhooks are signed by the one before as well.

    `whe_jobs` stands for the URLs that jobs bring along: the first call shows its secret, later ones change it.
    """
    return _shown(await webhooks.rotate(caller, endpoint_id))


@router.post(
    "/{endpoint_id}/test",
    operation_id="test_webhook_endpoint",
    status_code=202,
    responses=answers(202, "It is on its way.", model=DeliveryView) | guarded(*_OWN),
)
async def test_endpoint(caller: Authenticated, endpoint_id: EndpointId) -> DeliveryView:
    """Send an endpoint the event `webhook.test`."""
    return delivery_view(await send_test(caller, await webhooks.find_own(caller, endpoint_id)))


@router.get(
    "/{endpoint_id}/deliveries",
    operation_id="list_test_deliveries",
    responses=guarded(*_OWN, InvalidRequest),
)
async def get_test_deliveries(
    caller: Authenticated, endpoint_id: EndpointId, query: Annotated[DeliveryQuery, Query()]
) -> Listing[DeliveryView]:
    """List what was sent to try an endpoint. What was sent of a job is with the job."""
    return await list_deliveries(caller, await webhooks.find_own(caller, endpoint_id), query)


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/resend",
    operation_id="resend_test_delivery",
    status_code=202,
    responses=answers(202, "It is on its way.", model=DeliveryView) | guarded(*_OWN, ChangedMeanwhile),
)
async def resend_test_delivery(caller: Authenticated, endpoint_id: EndpointId, delivery_id: DeliveryId) -> DeliveryView:
    """Send a test again, under its old `webhook-id`."""
    return delivery_view(await resend(caller, await webhooks.find_own(caller, endpoint_id), delivery_id))


def _shown(shown: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(shown.model_dump_json(), status, headers=headers, media_type="application/json")

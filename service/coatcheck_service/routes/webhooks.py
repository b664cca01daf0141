"""Webhook endpoints: where a tenant's events go."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from coatcheck.core.api.models import Listing
from coatcheck.core.api.webhook_models import (
    DeliveryView,
    EndpointChange,
    EndpointRequest,
    EndpointView,
    EndpointWithSecret,
)
from coatcheck.core.api.webhook_views import delivery_view, endpoint_view
from coatcheck.core.errors import (
    ChangedMeanwhile,
    InvalidRequest,
    MalformedJson,
    NotFound,
    PayloadTooLarge,
    ReservedEndpoint,
    TooManyEndpoints,
    TooManyWebhookTests,
    UnsupportedMediaType,
)
from coatcheck_service.actions import webhook_endpoints
from coatcheck_service.actions.webhook_deliveries import DeliveryQuery, list_deliveries, resend, send_test
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.body import read_json
from coatcheck_service.http.openapi import problem_docs, request_doc, response_doc
from coatcheck_service.http.path_parameters import DeliveryId, EndpointId

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])

_BODY_ERRORS = (InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType)
_REGISTERED = (NotFound, ReservedEndpoint)


@router.post(
    "",
    operation_id="create_webhook_endpoint",
    status_code=201,
    responses=response_doc(201, "The endpoint, with its secret.", "Location", model=EndpointWithSecret)
    | problem_docs(*_BODY_ERRORS, TooManyEndpoints),
    openapi_extra=request_doc(body=EndpointRequest),
)
async def create_endpoint(context: Authenticated, request: Request) -> Response:
    """Have events of all jobs that are submitted from now on sent to a URL. The secret is shown this once."""
    received = await read_json(context, request, EndpointRequest)
    endpoint = await webhook_endpoints.create(context, received.value)
    return _json_response(endpoint, 201, {"Location": f"{context.base_url}{router.prefix}/{endpoint.id}"})


@router.get("", operation_id="list_webhook_endpoints", responses=problem_docs())
async def get_endpoints(context: Authenticated) -> Listing[EndpointView]:
    """List all webhook endpoints, the oldest first."""
    return Listing(data=[endpoint_view(one) for one in await webhook_endpoints.list_registered(context)], next=None)


@router.get("/{endpoint_id}", operation_id="get_webhook_endpoint", responses=problem_docs(NotFound))
async def get_endpoint(context: Authenticated, endpoint_id: EndpointId) -> EndpointView:
    """Look at an endpoint."""
    return endpoint_view(await webhook_endpoints.find(context, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    operation_id="change_webhook_endpoint",
    responses=response_doc(200, "The endpoint as it is now.", model=EndpointView)
    | problem_docs(*_BODY_ERRORS, *_REGISTERED, ChangedMeanwhile, TooManyEndpoints),
    openapi_extra=request_doc(body=EndpointChange),
)
async def change_endpoint(context: Authenticated, request: Request, endpoint_id: EndpointId) -> EndpointView:
    """Change an endpoint. To enable it is to forget how it fared before; so is another URL."""
    received = await read_json(context, request, EndpointChange)
    return endpoint_view(await webhook_endpoints.change(context, endpoint_id, received.value))


@router.delete(
    "/{endpoint_id}",
    operation_id="delete_webhook_endpoint",
    status_code=204,
    responses=response_doc(204, "Nothing is sent there any more.") | problem_docs(*_REGISTERED),
)
async def delete_endpoint(context: Authenticated, endpoint_id: EndpointId) -> Response:
    """Remove an endpoint."""
    await webhook_endpoints.delete(context, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    responses=response_doc(200, "The endpoint, with its new secret.", model=EndpointWithSecret)
    | problem_docs(NotFound, ChangedMeanwhile),
)
async def rotate_secret(context: Authenticated, endpoint_id: EndpointId) -> Response:
    """Give an endpoint a new secret; for 24 hours, webhooks are signed by the one before as well.

    `whe_jobs` stands for the URLs that jobs bring along: the first call shows its secret, later ones change it.
    """
    return _json_response(await webhook_endpoints.rotate(context, endpoint_id))


@router.post(
    "/{endpoint_id}/test",
    operation_id="test_webhook_endpoint",
    status_code=202,
    responses=response_doc(202, "It is on its way.", model=DeliveryView)
    | problem_docs(*_REGISTERED, TooManyWebhookTests),
)
async def test_endpoint(context: Authenticated, endpoint_id: EndpointId) -> DeliveryView:
    """Send an endpoint the event `webhook.test`."""
    return delivery_view(await send_test(context, await webhook_endpoints.find_registered(context, endpoint_id)))


@router.get(
    "/{endpoint_id}/deliveries",
    operation_id="list_test_deliveries",
    responses=problem_docs(*_REGISTERED, InvalidRequest),
)
async def get_test_deliveries(
    context: Authenticated, endpoint_id: EndpointId, query: Annotated[DeliveryQuery, Query()]
) -> Listing[DeliveryView]:
    """List what was sent to try an endpoint. What was sent of a job is with the job."""
    return await list_deliveries(context, await webhook_endpoints.find_registered(context, endpoint_id), query)


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/resend",
    operation_id="resend_test_delivery",
    status_code=202,
    responses=response_doc(202, "It is on its way.", model=DeliveryView)
    | problem_docs(*_REGISTERED, ChangedMeanwhile, TooManyWebhookTests),
)
async def resend_test_delivery(
    context: Authenticated, endpoint_id: EndpointId, delivery_id: DeliveryId
) -> DeliveryView:
    """Send a test again, under its old `webhook-id`."""
    return delivery_view(
        await resend(context, await webhook_endpoints.find_registered(context, endpoint_id), delivery_id)
    )


def _json_response(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(view.model_dump_json(), status, headers=headers, media_type="application/json")

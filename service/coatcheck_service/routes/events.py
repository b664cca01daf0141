"""The events of all jobs of a tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from coatcheck.core.api.models import Listing, TenantEventView
from coatcheck.core.errors import InvalidRequest, TooManyStreams
from coatcheck_service.actions.follow_tenant import follow_tenant, list_tenant_events
from coatcheck_service.actions.list_events import EventQuery
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.event_stream import STREAM_UNAVAILABLE, can_stream, stream_doc, wants_stream
from coatcheck_service.http.openapi import problem_docs, request_doc

router = APIRouter(prefix="/v1/events", tags=["jobs"])


@router.get(
    "",
    operation_id="list_tenant_events",
    response_model=Listing[TenantEventView],
    responses=stream_doc("The events so far, or a stream of those to come.")
    | problem_docs(InvalidRequest, TooManyStreams),
    openapi_extra=request_doc("Last-Event-ID"),
)
async def get_tenant_events(
    context: Authenticated, request: Request, response: Response, query: Annotated[EventQuery, Query()]
) -> Response | Listing[TenantEventView]:
    """The events of your newest jobs, the first event first; with `Accept: text/event-stream`, those from now on."""
    if wants_stream(request):
        if can_stream(context.front_door, context.dependencies.settings.max_streams):
            return follow_tenant(context, request)
        response.headers.update(STREAM_UNAVAILABLE)
    return await list_tenant_events(context, query.after)

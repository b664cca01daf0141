"""Manages a tenant's webhook endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from coatcheck.core.api.webhook_models import EndpointChange, EndpointRequest, EndpointWithSecret
from coatcheck.core.api.webhook_views import endpoint_with_secret
from coatcheck.core.audit import AuditRecord
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import webhook_items as table
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.flow import run_async
from coatcheck.core.errors import ChangedMeanwhile, NotFound, ReservedEndpoint, TooManyEndpoints
from coatcheck.core.flows.webhook_key import endpoint_secret
from coatcheck.core.ids import is_id, make_id
from coatcheck.core.sanitize import quoted
from coatcheck.core.webhooks import (
    EVENTS,
    JOBS_ENDPOINT,
    MAX_ENDPOINTS,
    MAX_ENDPOINTS_OF_A_HOST,
    WebhookEndpoint,
    host_of,
    sorted_events,
    within_host_limit,
)
from coatcheck_service.actions.tenant_limits import limits_of
from coatcheck_service.actions.webhook_urls import url_errors
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request

MAX_TRIES = 5
"""Attempts to update an endpoint. The deliverer writes its failures to it, so what was read may be out of date."""

DISABLED_BY_CLIENT = "disabled by hand"


async def create(context: RequestContext, request: EndpointRequest) -> EndpointWithSecret:
    """Create an endpoint, and return it with its secret. Raises InvalidRequest and TooManyEndpoints."""
    dependencies = context.dependencies
    _check_url(context, request.url)
    key = await _read_webhook_key(dependencies)
    endpoint = WebhookEndpoint(
        tenant=context.tenant,
        id=make_id("whe", dependencies.entropy(16)),
        url=request.url,
        events=sorted_events(request.events),
        created_at=dependencies.clock(),
        description=request.description,
        enabled=request.enabled,
        disabled_reason=None if request.enabled else DISABLED_BY_CLIENT,
    )
    try:
        await dependencies.transport.send(_put(dependencies, endpoint))
        await _enforce_endpoint_limit(context, endpoint)
    finally:
        dependencies.subscriptions.invalidate(context.tenant)
    return endpoint_with_secret(endpoint, endpoint_secret(key, endpoint, endpoint.generation))


async def list_registered(context: RequestContext) -> Sequence[WebhookEndpoint]:
    """Return the tenant's endpoints, the oldest first, without the one that stands for the URLs of jobs."""
    errors = await context.dependencies.transport.send(table.list_endpoints(context.dependencies.table, context.tenant))
    return [endpoint for endpoint in errors if endpoint.id != JOBS_ENDPOINT]


async def subscribed_events(context: RequestContext, now: int) -> tuple[str, ...]:
    """Return the events that the tenant's endpoints subscribe to; they may be some seconds old."""

    async def read() -> tuple[str, ...]:
        try:
            return sorted_events(
                [event for one in await list_registered(context) if one.enabled for event in one.events]
            )
        except NewerRow:
            # this version cannot read to what an endpoint of a newer version subscribes: assume every event
            return EVENTS

    return await context.dependencies.subscriptions.get(context.tenant, now=now, read=read)


async def find(context: RequestContext, endpoint_id: str) -> WebhookEndpoint:
    """Return the caller's endpoint, or the one that stands for the URLs of jobs. Raises NotFound."""
    endpoint = None
    if is_id("whe", endpoint_id):
        endpoint = await context.dependencies.transport.send(
            table.get_endpoint(context.dependencies.table, context.tenant, endpoint_id)
        )
    if endpoint is None:
        raise NotFound(f"There is no webhook endpoint {quoted(endpoint_id)} (it may have been deleted).")
    return endpoint


async def find_registered(context: RequestContext, endpoint_id: str) -> WebhookEndpoint:
    """Return the caller's endpoint.

    Raises NotFound, and ReservedEndpoint for the one that stands for the URLs of jobs.
    """
    _refuse_reserved(endpoint_id)
    return await find(context, endpoint_id)


async def change(context: RequestContext, endpoint_id: str, request: EndpointChange) -> WebhookEndpoint:
    """Change the fields of `request`. Raises InvalidRequest, NotFound, ReservedEndpoint, TooManyEndpoints and
    ChangedMeanwhile.
    """
    dependencies, changes = context.dependencies, request.changes()
    if "url" in changes:
        _check_url(context, changes["url"])
    try:
        for _ in range(MAX_TRIES):
            endpoint = await find_registered(context, endpoint_id)
            if "url" in changes:
                await _check_host(context, endpoint, changes["url"])
            updated = apply_changes(endpoint, changes)
            if updated == endpoint:
                return endpoint
            written = await dependencies.transport.send(_update(dependencies, updated, "endpoint.changed"))
            if written is not None:
                return written
    finally:
        # a write whose reply was lost may have been made
        dependencies.subscriptions.invalidate(context.tenant)
    raise ChangedMeanwhile(f"Other requests keep changing {endpoint_id}: try again.")


def apply_changes(endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """Return the endpoint with new values for some of its fields.

    Enabling it, or changing its URL, clears its failure history.
    """
    result = replace(endpoint, **{**changes, "events": sorted_events(changes.get("events", endpoint.events))})
    if changes.get("enabled") or result.url != endpoint.url:
        result = replace(result, failures=0, failing_since=None, resting_until=None)
    if result.enabled:
        return replace(result, disabled_reason=None)
    return replace(result, disabled_reason=DISABLED_BY_CLIENT) if endpoint.enabled else result


async def delete(context: RequestContext, endpoint_id: str) -> None:
    """Delete an endpoint. Its pending deliveries are no longer sent. Raises NotFound and ReservedEndpoint."""
    _refuse_reserved(endpoint_id)
    dependencies = context.dependencies
    try:
        await find(context, endpoint_id)
        await dependencies.transport.send(_delete(context, endpoint_id))
    finally:
        dependencies.subscriptions.invalidate(context.tenant)


async def rotate(context: RequestContext, endpoint_id: str) -> EndpointWithSecret:
    """Give an endpoint a new secret. The previous one stays in use beside it for a while.

    For the endpoint that stands for the URLs of jobs, the first call returns its first secret. Raises NotFound and
    ChangedMeanwhile.
    """
    key = await _read_webhook_key(context.dependencies)
    now = context.dependencies.clock()
    endpoint = await _create_jobs_endpoint(context, now) if endpoint_id == JOBS_ENDPOINT else None
    if endpoint is None:
        endpoint = await _rotate(context, await find(context, endpoint_id), now)
    return endpoint_with_secret(endpoint, endpoint_secret(key, endpoint, endpoint.generation))


async def _create_jobs_endpoint(context: RequestContext, now: int) -> WebhookEndpoint | None:
    """Create the endpoint that stands for the URLs of jobs; None if it exists already."""
    endpoint = WebhookEndpoint(
        context.tenant, JOBS_ENDPOINT, url="", events=(), created_at=now, description="the URLs that jobs bring along"
    )
    return endpoint if await context.dependencies.transport.send(_put(context.dependencies, endpoint)) else None


async def _rotate(context: RequestContext, endpoint: WebhookEndpoint, now: int) -> WebhookEndpoint:
    """Return the endpoint with the next secret.

    Two callers at the same time must not rotate twice: the secret before the previous one is no longer valid.
    """
    dependencies, updated = context.dependencies, endpoint.generation + 1
    for _ in range(MAX_TRIES):
        rotated = replace(endpoint, generation=updated, rotated_at=now)
        written = await dependencies.transport.send(_update(dependencies, rotated, "endpoint.secret_rotated"))
        if written is not None:
            return written
        endpoint = await find(context, endpoint.id)
        if (endpoint.generation, endpoint.rotated_at) == (updated, now):
            return endpoint
        if endpoint.generation >= updated:
            break
    raise ChangedMeanwhile("Another request is rotating the secret: read the endpoint, then decide.")


async def _enforce_endpoint_limit(context: RequestContext, endpoint: WebhookEndpoint) -> None:
    """Delete a new endpoint again if there are too many before it. This holds for concurrent creates as well."""
    limit = (await limits_of(context)).webhook_endpoints
    most = MAX_ENDPOINTS if limit is None else limit
    registered = await list_registered(context)
    if endpoint.id not in [one.id for one in registered[:most]]:
        detail = f"A tenant may have {most} webhook endpoints."
    elif endpoint.id not in [one.id for one in within_host_limit(registered)]:
        detail = _host_is_full(endpoint.url)
    else:
        return
    await context.dependencies.transport.send(_delete(context, endpoint.id))
    raise TooManyEndpoints(detail)


async def _check_host(context: RequestContext, endpoint: WebhookEndpoint, url: str) -> None:
    """Refuse to point an endpoint at a host that as many others name as may. Raises TooManyEndpoints."""
    if host_of(url) == host_of(endpoint.url):
        return
    others = [
        one for one in await list_registered(context) if one.id != endpoint.id and host_of(one.url) == host_of(url)
    ]
    if len(others) >= MAX_ENDPOINTS_OF_A_HOST:
        raise TooManyEndpoints(_host_is_full(url))


def _host_is_full(url: str) -> str:
    return (
        f"{MAX_ENDPOINTS_OF_A_HOST} endpoints may name the host {quoted(host_of(url))}: subscribe one to more events."
    )


def _put(dependencies: Dependencies, endpoint: WebhookEndpoint) -> Call[bool]:
    what = AuditRecord(action="endpoint.created", tenant=endpoint.tenant, target=endpoint.id)
    return audited(table.put_endpoint(dependencies.table, endpoint), lambda is_new: what if is_new else None)


def _update(dependencies: Dependencies, endpoint: WebhookEndpoint, action: str) -> Call[WebhookEndpoint | None]:
    what = AuditRecord(action=action, tenant=endpoint.tenant, target=endpoint.id)
    return audited(table.update_endpoint(dependencies.table, endpoint), lambda written: what if written else None)


def _delete(context: RequestContext, endpoint_id: str) -> Call[bool]:
    what = AuditRecord(action="endpoint.deleted", tenant=context.tenant, target=endpoint_id)
    call = table.delete_endpoint(context.dependencies.table, context.tenant, endpoint_id)
    return audited(call, lambda existed: what if existed else None)


async def _read_webhook_key(dependencies: Dependencies) -> bytes:
    return await run_async(dependencies.transport, dependencies.webhook_key.read(dependencies.settings.webhook_key))


def _refuse_reserved(endpoint_id: str) -> None:
    if endpoint_id == JOBS_ENDPOINT:
        raise ReservedEndpoint(f"{JOBS_ENDPOINT} can only be read, and its secret rotated.")


def _check_url(context: RequestContext, url: str) -> None:
    if errors := url_errors(context, url, "/url"):
        raise invalid_request(errors)

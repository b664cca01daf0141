"""A tenant's webhook endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from coatcheck.errors import ChangedMeanwhile, NotFound, ReservedEndpoint, TooManyEndpoints
from coatcheck.ids import is_id, make_id
from coatcheck.table import webhooks as table
from coatcheck.table.unknown import NewerRow
from coatcheck.webhook_views import endpoint_with_secret
from coatcheck.webhooks import EVENTS, JOBS_ENDPOINT, MOST_ENDPOINTS, Endpoint, in_order
from coatcheck.wire_webhooks import EndpointChange, EndpointRequest, EndpointWithSecret
from service.caller import Caller
from service.flaws import refused
from service.targets import flaws_in
from service.tools import Tools
from service.webhook_key import secret_of

TRIES = 5
"""The deliverer writes to an endpoint too, how it fares: what was read a moment ago may be out of date."""

BY_HAND = "disabled by hand"


async def create(caller: Caller, asked: EndpointRequest) -> EndpointWithSecret:
    """A new endpoint, with its secret. Raises InvalidRequest and TooManyEndpoints."""
    tools = caller.tools
    _check(caller, asked.url)
    key = await _key(tools)
    endpoint = Endpoint(
        tenant=caller.tenant,
        id=make_id("whe", tools.entropy(16)),
        url=asked.url,
        events=in_order(asked.events),
        created_at=tools.clock(),
        description=asked.description,
        enabled=asked.enabled,
        disabled_reason=None if asked.enabled else BY_HAND,
    )
    try:
        await tools.aws.send(table.put_endpoint(tools.table, endpoint))
        await _insist_on_room(caller, endpoint)
    finally:
        tools.subscriptions.forget(caller.tenant)
    return endpoint_with_secret(endpoint, secret_of(endpoint, key))


async def list_own(caller: Caller) -> Sequence[Endpoint]:
    """The tenant's endpoints, the oldest first, without the one that stands for the URLs of jobs."""
    found = await caller.tools.aws.send(table.list_endpoints(caller.tools.table, caller.tenant))
    return [endpoint for endpoint in found if endpoint.id != JOBS_ENDPOINT]


async def wanted_events(caller: Caller, now: int) -> tuple[str, ...]:
    """What the tenant's endpoints are to be told of, as they were some seconds ago at most."""

    async def read() -> tuple[str, ...]:
        try:
            return in_order([event for one in await list_own(caller) if one.enabled for event in one.events])
        except NewerRow:
            # what an endpoint of a newer version wants is not for this one to say
            return EVENTS

    return await caller.tools.subscriptions.of(caller.tenant, now=now, read=read)


async def find(caller: Caller, endpoint_id: str) -> Endpoint:
    """The caller's endpoint, or the one that stands for the URLs of jobs. Raises NotFound."""
    endpoint = None
    if is_id("whe", endpoint_id):
        endpoint = await caller.tools.aws.send(table.get_endpoint(caller.tools.table, caller.tenant, endpoint_id))
    if endpoint is None:
        raise NotFound("There is no such webhook endpoint.")
    return endpoint


async def find_own(caller: Caller, endpoint_id: str) -> Endpoint:
    """The caller's endpoint. Raises NotFound, and ReservedEndpoint for the one that stands for the URLs of jobs."""
    _insist_on_own(endpoint_id)
    return await find(caller, endpoint_id)


async def change(caller: Caller, endpoint_id: str, asked: EndpointChange) -> Endpoint:
    """Change what was asked for. Raises InvalidRequest, NotFound, ReservedEndpoint and ChangedMeanwhile."""
    tools, changes = caller.tools, asked.asked()
    if "url" in changes:
        _check(caller, changes["url"])
    try:
        for _ in range(TRIES):
            endpoint = await find_own(caller, endpoint_id)
            wanted = changed(endpoint, changes)
            if wanted == endpoint:
                return endpoint
            written = await tools.aws.send(table.update_endpoint(tools.table, wanted))
            if written is not None:
                return written
    finally:
        # a write whose reply was lost may have been made
        tools.subscriptions.forget(caller.tenant)
    raise ChangedMeanwhile("The endpoint changes too fast at the moment.")


def changed(endpoint: Endpoint, changes: Mapping[str, Any]) -> Endpoint:
    """The endpoint with new values for some of its fields.

    To enable it, or to name another URL, is to forget how it fared before.
    """
    after = replace(endpoint, **{**changes, "events": in_order(changes.get("events", endpoint.events))})
    if changes.get("enabled") or after.url != endpoint.url:
        after = replace(after, failures=0, failing_since=None, resting_until=None)
    if after.enabled:
        return replace(after, disabled_reason=None)
    return replace(after, disabled_reason=BY_HAND) if endpoint.enabled else after


async def delete(caller: Caller, endpoint_id: str) -> None:
    """Remove an endpoint: what is on its way to it is not sent any more. Raises NotFound and ReservedEndpoint."""
    _insist_on_own(endpoint_id)
    tools = caller.tools
    try:
        await find(caller, endpoint_id)
        await tools.aws.send(table.delete_endpoint(tools.table, caller.tenant, endpoint_id))
    finally:
        tools.subscriptions.forget(caller.tenant)


async def rotate(caller: Caller, endpoint_id: str) -> EndpointWithSecret:
    """Give an endpoint a new secret, beside which the one before is used for a while.

    The one that stands for the URLs of jobs is shown its first secret at first. Raises NotFound and ChangedMeanwhile.
    """
    key = await _key(caller.tools)
    now = caller.tools.clock()
    endpoint = await _first_of_jobs(caller, now) if endpoint_id == JOBS_ENDPOINT else None
    if endpoint is None:
        endpoint = await _rotated(caller, await find(caller, endpoint_id), now)
    return endpoint_with_secret(endpoint, secret_of(endpoint, key))


async def _first_of_jobs(caller: Caller, now: int) -> Endpoint | None:
    """The endpoint that stands for the URLs of jobs, if it was made just now."""
    endpoint = Endpoint(
        caller.tenant, JOBS_ENDPOINT, url="", events=(), created_at=now, description="the URLs that jobs bring along"
    )
    return endpoint if await caller.tools.aws.send(table.put_endpoint(caller.tools.table, endpoint)) else None


async def _rotated(caller: Caller, endpoint: Endpoint, now: int) -> Endpoint:
    """The endpoint with the next secret.

    Nobody rotates twice by rotating at the same time as another: the secret before last is good for nothing.
    """
    tools, wanted = caller.tools, endpoint.generation + 1
    for _ in range(TRIES):
        rotated = replace(endpoint, generation=wanted, rotated_at=now)
        written = await tools.aws.send(table.update_endpoint(tools.table, rotated))
        if written is not None:
            return written
        endpoint = await find(caller, endpoint.id)
        if (endpoint.generation, endpoint.rotated_at) == (wanted, now):
            return endpoint
        if endpoint.generation >= wanted:
            break
    raise ChangedMeanwhile("The secret is being rotated by another call.")


async def _insist_on_room(caller: Caller, endpoint: Endpoint) -> None:
    """Take a new endpoint back if there are too many before it: of several at once, none counts on the others."""
    own = [one.id for one in await list_own(caller)]
    if endpoint.id not in own[:MOST_ENDPOINTS]:
        await caller.tools.aws.send(table.delete_endpoint(caller.tools.table, caller.tenant, endpoint.id))
        raise TooManyEndpoints(f"A tenant has {MOST_ENDPOINTS} at the most.")


async def _key(tools: Tools) -> bytes:
    return await tools.webhook_key.read(tools.aws, tools.deployment.webhook_key)


def _insist_on_own(endpoint_id: str) -> None:
    if endpoint_id == JOBS_ENDPOINT:
        raise ReservedEndpoint(f"{JOBS_ENDPOINT} is looked at and rotated, and nothing else.")


def _check(caller: Caller, url: str) -> None:
    if found := flaws_in(caller, url, "/url"):
        raise refused(found)

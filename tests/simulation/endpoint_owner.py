"""A tenant's endpoints: one that stays as it is, and an owner who makes, changes and deletes others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import count

from coatcheck.authoring.types import Catalog
from coatcheck.core.api.webhook_models import EndpointChange, EndpointRequest
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.webhook_items import put_endpoint
from coatcheck.core.clock import HOUR, SECOND
from coatcheck.core.errors import ChangedMeanwhile, NotFound
from coatcheck.core.webhooks import EVENTS, WebhookEndpoint
from coatcheck_service.actions import webhook_endpoints
from coatcheck_service.http.authentication import RequestContext
from tests.simulation.api_process import TENANT, context_of, retry_until_answered, run_without_loop
from tests.simulation.scheduler import START, Process
from tests.simulation.world import World


def steady(world: World) -> None:
    """An endpoint that was there long before, of which a newer version has noted more than this one knows."""
    endpoint = WebhookEndpoint(TENANT, "whe_steady", "https://steady.test/hook", EVENTS, START - HOUR)
    world.model.carry_out(put_endpoint("table", endpoint), START)
    world.write_unknown(JobKey(TENANT, "webhooks").item(endpoint.id))
    world.checks.steady.append(endpoint)


def endpoint_owner(world: World, catalog: Catalog) -> Callable[[Process], None]:
    """Makes an endpoint while jobs run, changes it, and may delete it."""
    chance = world.chance
    at = sorted(START + chance.randint(0, 400) * SECOND for _ in range(4))
    made: list[str] = []
    tries = count()
    world.checks.client_scripts.add(owner_of := object())

    def create(context: RequestContext) -> None:
        # a host of its own for each try: few endpoints may name one, and tries without an answer leave some behind
        request = EndpointRequest(
            url=f"https://owner{next(tries)}.test/hook", events=list(chance.choice((EVENTS, EVENTS[1:])))
        )
        made.append(run_without_loop(webhook_endpoints.create(context, request)).id)

    def change(context: RequestContext) -> None:
        run_without_loop(webhook_endpoints.change(context, made[-1], EndpointChange(enabled=chance.random() < 0.5)))

    def delete(context: RequestContext) -> None:
        # it is not there where an answer was lost
        with contextlib.suppress(NotFound):
            run_without_loop(webhook_endpoints.delete(context, made[-1]))
        world.checks.deleted_endpoints[made[-1]] = world.now

    steps = [create, change, change, delete if chance.random() < 0.7 else change]

    def play(process: Process) -> None:
        context = context_of(world, catalog, process)
        while steps:
            world.scheduler.wait(at[-len(steps)])
            try:
                retry_until_answered(world, lambda: steps[0](context))
            except ChangedMeanwhile:
                world.say(process, "gives up a change")
            del steps[0]
        world.checks.client_scripts.discard(owner_of)

    return play

"""A tenant's endpoints: one that stays as it is, and an owner who makes, changes and deletes others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from coatcheck.clock import HOUR, SECOND
from coatcheck.errors import ChangedMeanwhile, NotFound
from coatcheck.table.keys import JobKey
from coatcheck.table.webhooks import put_endpoint
from coatcheck.types import Catalog
from coatcheck.webhooks import EVENTS, Endpoint
from coatcheck.wire_webhooks import EndpointChange, EndpointRequest
from service import webhooks
from service.caller import Caller
from tests.simulation.asking import TENANT, caller_of, driven, insist
from tests.simulation.scheduler import START, Process
from tests.simulation.world import World


def steady(world: World) -> None:
    """An endpoint that was there long before, of which a newer version has noted more than this one knows."""
    endpoint = Endpoint(TENANT, "whe_steady", "https://steady.test/hook", EVENTS, START - HOUR)
    world.model.carry_out(put_endpoint("table", endpoint), START)
    world.write_unknown(JobKey(TENANT, "webhooks").item(endpoint.id))
    world.checks.steady.append(endpoint)


def owner(world: World, catalog: Catalog) -> Callable[[Process], None]:
    """Makes an endpoint while jobs run, changes it, and may delete it."""
    chance = world.chance
    at = sorted(START + chance.randint(0, 400) * SECOND for _ in range(4))
    made: list[str] = []
    world.checks.errands.add(owner_of := object())

    def create(caller: Caller) -> None:
        asked = EndpointRequest(
            url=f"https://owner{len(made)}.test/hook", events=list(chance.choice((EVENTS, EVENTS[1:])))
        )
        made.append(driven(webhooks.create(caller, asked)).id)

    def change(caller: Caller) -> None:
        driven(webhooks.change(caller, made[-1], EndpointChange(enabled=chance.random() < 0.5)))

    def delete(caller: Caller) -> None:
        # it is not there where an answer was lost
        with contextlib.suppress(NotFound):
            driven(webhooks.delete(caller, made[-1]))
        world.checks.deleted_endpoints[made[-1]] = world.now

    steps = [create, change, change, delete if chance.random() < 0.7 else change]

    def play(process: Process) -> None:
        caller = caller_of(world, catalog, process)
        while steps:
            world.scheduler.wait(at[-len(steps)])
            try:
                insist(world, lambda: steps[0](caller))
            except ChangedMeanwhile:
                world.say(process, "gives up a change")
            del steps[0]
        world.checks.errands.discard(owner_of)

    return play

"""One schedule from its seed: who takes part, what they do, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from coatcheck.core.tenant_limits import TenantLimits
from tests.simulation import foreign_rows, job_plans
from tests.simulation.actors import ProcessStarter
from tests.simulation.checks import STUCK_AFTER
from tests.simulation.clients import again, client
from tests.simulation.endpoint_owner import endpoint_owner, steady
from tests.simulation.faults import HEARTBEAT, Fault
from tests.simulation.final_checks import final_violations
from tests.simulation.scheduler import START, Process, Threads
from tests.simulation.slots import TENANT, limit_changes, set_limits
from tests.simulation.world import World

BACKLOGS = 0.01
"""How many schedules have a backlog: each takes as long as a hundred others."""

LOOK_EVERY = 60 * SECOND
SETTLE_TIME = 3 * HOUR
"""How long the world goes on once all jobs have ended: every message that is still there comes again by then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a schedule. Without flaws it kept every promise."""

    seed: int
    violations: tuple[str, ...]
    calls: int
    faults: Counter[Fault]
    ended: Counter[Status]


def play(seed: int, threads: Threads, trace: list[str] | None = None, *, apart: bool = False) -> Outcome:
    """Run the schedule `seed`. `apart`: the clocks of its workers are ten minutes apart, whatever else."""
    world = World(seed, threads, trace)
    _set_up(world, apart=apart)
    return _outcome(world)


def play_scenario(seed: int, threads: Threads, set_up: Callable[[World], None], patience: int = STUCK_AFTER) -> Outcome:
    """Run a schedule of its own making, in which nothing goes wrong and no job takes longer than `patience`."""
    world = World(seed, threads)
    world.fault_injector.budget = 0
    world.checks.patience = patience
    set_up(world)
    return _outcome(world)


def _outcome(world: World) -> Outcome:
    _end_when_done(world)
    world.scheduler.run()
    if world.scheduler.broken:
        world.checks.violation(world.scheduler.broken)
    ended = Counter(job.status for job in world.checks.rows.values())
    # a schedule that was broken off is not at its end
    violations = world.checks.violations or final_violations(world.checks, world.model, world.now)
    return Outcome(world.seed, tuple(violations), world.calls, world.fault_injector.counts, ended)


def _set_up(world: World, *, apart: bool) -> None:
    chance = world.chance
    processes = ProcessStarter(world, lambda process: job_plans.PlannedHandler(world, process).handlers())
    offset = _offsets(world, skewed=chance.random() < 0.3 or apart)
    for number in range(2 if apart else chance.randint(1, 3)):
        ahead = number * 10 * MINUTE if apart else offset()
        processes.start(f"worker{number}", ahead, processes.poller if chance.random() < 0.6 else processes.function)
    for number in range(chance.randint(1, 2)):
        processes.start(f"sweeper{number}", offset(), processes.sweeper)
    for number in range(chance.randint(1, 2)):
        processes.start(f"deliverer{number}", offset(), processes.deliverer)
    for _ in range(chance.randint(1, 3) if chance.random() < 0.2 else 0):
        foreign_rows.put(world, foreign_rows.of_a_newer_version(chance))
    if chance.random() < BACKLOGS:
        world.most_calls *= 20
        foreign_rows.backlog(world)
    if chance.random() < 0.2:
        steady(world)
        processes.start("owner", offset(), endpoint_owner(world, job_plans.CATALOG))
    _limit(world)
    world.brief = chance.random() < 0.25
    for number in range(chance.randint(3, 6)):
        client_script = job_plans.client_script(
            chance, number, world.seed, long=world.fault_injector.aimed_at == HEARTBEAT, brief=world.brief
        )
        client_script.at += START
        processes.start(f"api{number}", offset(), client(world, job_plans.CATALOG, client_script))
        if client_script.again_after is not None:
            processes.start(f"api{number}again", offset(), again(world, job_plans.CATALOG, client_script))
    if world.brief:
        _delete_expired(world)


def _limit(world: World) -> None:
    """Set and change the limits of the tenant."""

    def change(limits: TenantLimits) -> None:
        world.checks.actor = Process("operator")
        set_limits(world.model, TENANT, limits, world.now)
        world.checks.slots.changed(limits, world.now)

    for one in limit_changes(world.seed, list(job_plans.CATALOG)):
        world.scheduler.at(START + one.after, partial(change, one.limits))


def _delete_expired(world: World) -> None:
    """DynamoDB deletes what is past its `ttl` when it comes to it."""

    def delete() -> None:
        world.checks.actor = Process("DynamoDB")
        world.model.table.delete_expired(world.now)

    for _ in range(3):
        world.scheduler.at(START + world.chance.randint(24, 60) * HOUR, delete)


def _offsets(world: World, *, skewed: bool) -> Callable[[], int]:
    chance = world.chance

    def offset() -> int:
        if not skewed:
            return 0
        world.fault_injector.note(Fault.SKEWED)
        return chance.choice((-10 * MINUTE, 0, chance.randint(-30, 30) * SECOND, 10 * MINUTE))

    return offset


def _end_when_done(world: World) -> None:
    """End the schedule when all is done and calm, or when it must have been long ago."""
    ends_at: int | None = None

    def look() -> None:
        nonlocal ends_at
        for idle in world.checks.slots.idle(world.now, world.calm_from, world.checks.fault_history.skew):
            world.checks.violation(idle)
        world.checks.stuck(since=max(world.calm_from, START + 40 * MINUTE))
        left = not world.checks.all_done() or not world.checks.all_swept(expired=world.brief)
        waiting = world.calm_from > world.now or world.fault_injector.is_active(world.now) or left
        if waiting:
            ends_at = None
        elif ends_at is None:
            ends_at = world.now + SETTLE_TIME
        drained = not any(queue.messages for queue in world.model.queues.by_url.values())
        if ends_at is not None and (drained or world.now >= ends_at):
            world.scheduler.end()
        else:
            world.scheduler.at(world.now + LOOK_EVERY * (1 if waiting else 10), look)

    world.scheduler.at(world.now + LOOK_EVERY, look)

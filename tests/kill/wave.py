"""A wave: processes of many flows are killed at many points side by side, then everything is healed together."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from coatcheck.clock import SECOND
from coatcheck.due import DISPATCH_GRACE
from tests.kill import checks, healers
from tests.kill.door import BEAT, Point
from tests.kill.flows import READS, RECEIVE, SWEEPER, Flow, ended_at, lane_of, over
from tests.kill.ground import Ground
from tests.kill.scene import Scene, begin
from tests.kill.victims import Nursery
from worker.tools import system_clock

SIDE_BY_SIDE = 12
"""Processes that are alive at once, to be killed."""

BEATS = 2
"""Beats at which a process is killed: there are as many as time allows, and all alike."""

SLACK = 20.0
"""Seconds for the way to a free worker, on a machine on which everything happens at once."""

PAUSE = 0.02
LOOK_EVERY = 0.5


@dataclass(frozen=True)
class Pace:
    """How much is done. `sweep_every` is in seconds.

    Unless it is `whole`, each state that a dying process can leave in AWS is left once: it dies before its first call,
    and after each that changes something. Dying before a call leaves what dying after the call before it does.
    """

    sweep_every: float
    whole: bool = True


@dataclass
class Told:
    """What became of one scene: `healed_in` is in seconds to the final status, from when healing began.

    No sweeper runs while processes are being killed, or it would do the work of those that are to die sweeping.
    """

    scene: Scene
    healed_in: float = 0.0
    flaws: list[str] = field(default_factory=list)


def play(ground: Ground, flows: Sequence[Flow], pace: Pace, only: Point | None = None) -> list[Told]:
    """Rehearse `flows`, kill at every point of each (or at `only`), heal, and tell of each."""
    nursery = Nursery(ground)
    with healers.workers(ground):
        rehearsed = _act(ground, nursery, [(flow, None) for flow in flows])
        plan = [(scene.flow, point) for scene in rehearsed for point in _points(scene, pace, only)]
        scenes = [*rehearsed, *_act(ground, nursery, plan)]
        healers.ask_again(ground, nursery, [scene for scene in scenes if scene.point])
        with healers.sweeper(ground, pace.sweep_every):
            return _heal(ground, scenes, pace)


def _act(ground: Ground, nursery: Nursery, plan: Sequence[tuple[Flow, Point | None]]) -> list[Scene]:
    """Play every scene of `plan` until its process has ended."""
    waiting, on_stage, over = list(reversed(plan)), list[Scene](), list[Scene]()
    while waiting or on_stage:
        while waiting and len(on_stage) < SIDE_BY_SIDE:
            on_stage.append(begin(ground, nursery, *waiting.pop(), tenant=f"t-{secrets.token_hex(6)}"))
        for scene in on_stage.copy():
            if scene.look(ground):
                on_stage.remove(scene)
                over.append(scene)
        time.sleep(PAUSE)
    order = {flow.name: number for number, (flow, _) in reversed(list(enumerate(plan)))}
    return sorted(over, key=lambda scene: order[scene.flow.name])


def _points(rehearsed: Scene, pace: Pace, only: Point | None) -> Iterator[Point]:
    if not _in_order(rehearsed.flow.calls, [line.split()[1] for line in rehearsed.calls]):
        made = ", ".join(rehearsed.calls)
        rehearsed.flaws.append(f"made other calls than it says before it ended with {rehearsed.status}: {made}")
    if only is not None:
        yield only
        return
    seen: Counter[str] = Counter()
    calls = rehearsed.calls if rehearsed.flow.dies == SWEEPER else _without_idle_end(rehearsed.calls)
    for strand, operation in map(str.split, calls):
        number = seen[strand]
        seen[strand] += 1
        if strand == BEAT and number >= BEATS:
            continue
        if pace.whole or number == 0:
            yield Point(strand, number, after=False)
        if pace.whole or operation not in READS:
            yield Point(strand, number, after=True)


def _in_order(wanted: Sequence[str], made: Sequence[str]) -> bool:
    rest = iter(made)
    return all(call in rest for call in wanted)


def _without_idle_end(calls: Sequence[str]) -> Sequence[str]:
    """Without the call for more work that a worker was dismissed in: there is none, and it takes its time to say so."""
    return calls[:-1] if calls[-1].endswith(RECEIVE) else calls


def _heal(ground: Ground, scenes: Sequence[Scene], pace: Pace) -> list[Told]:
    """Wait until every job is final, or later than it may be.

    That is told from when the last one became final: what is not noticed until then is not waited for by a worker. How
    long the workers take for what all the killed have left, at once, is the machine's affair.
    """
    noticed_within = max(ground.deployment.lease, DISPATCH_GRACE / SECOND) + pace.sweep_every
    began_at = system_clock()
    last_healed = time.monotonic()
    told, ailing = list[Told](), list(scenes)
    while ailing:
        for scene in ailing.copy():
            ground.pour(scene.queue, lane_of(scene.flow.dies))
            job = ground.row(scene.key)
            limit = noticed_within + scene.flow.takes + SLACK
            if job is not None and over(ground, scene.flow, job):
                healed_in = max(0, ended_at(ground, scene.flow, job) - began_at) / SECOND
                told.append(Told(scene, healed_in, [*scene.flaws, *checks.flaws(ground, scene, job)]))
                last_healed = time.monotonic()
            elif time.monotonic() - last_healed > limit:
                stuck = f"is {job.status if job else 'not there'}, {limit:g} s after the last one was healed"
                told.append(Told(scene, limit, [*scene.flaws, stuck]))
            else:
                continue
            ailing.remove(scene)
        time.sleep(LOOK_EVERY)
    order = {id(scene): number for number, scene in enumerate(scenes)}
    return sorted(told, key=lambda one: order[id(one.scene)])

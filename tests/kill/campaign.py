"""A wave: processes of many flows are killed at many points side by side, then everything is healed together."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.due import DISPATCH_GRACE
from tests.kill import checks, recovery
from tests.kill.crash_run import CrashRun, begin
from tests.kill.crash_targets import ProcessForker
from tests.kill.crashing_transport import HEARTBEAT, MAIN, CrashPoint
from tests.kill.emulator import Emulator
from tests.kill.flows import READS, RECEIVE, SWEEPER, Flow, ended_at, lane_of, over

SIDE_BY_SIDE = 6
"""Processes that are alive at once, to be killed."""

MOST_HEARTBEATS = 2
"""Beats at which a process is killed: there are as many as time allows, and all alike."""

SLACK = 20.0
"""Seconds for the way to a free worker, on a machine on which everything happens at once."""

PAUSE = 0.02
LOOK_EVERY = 0.5


@dataclass(frozen=True)
class Scope:
    """How much is done. `sweep_every` is in seconds.

    Unless it is `exhaustive`, each state that a dying process can leave in AWS is left once: it dies before its first
    call, and after each that changes something. Dying before a call leaves what dying after the call before it does.
    """

    sweep_every: float
    exhaustive: bool = True


@dataclass
class CrashReport:
    """What became of one scene: `recovered_in` is in seconds to the final status, from when healing began.

    No sweeper runs while processes are being killed, or it would do the work of those that are to die sweeping.
    """

    crash_run: CrashRun
    recovered_in: float = 0.0
    violations: list[str] = field(default_factory=list)


def run_campaign(
    emulator: Emulator, flows: Sequence[Flow], scope: Scope, only: CrashPoint | None = None
) -> list[CrashReport]:
    """Rehearse `flows`, kill at every point of each (or at `only`), heal, and tell of each."""
    forker = ProcessForker(emulator)
    with recovery.workers(emulator):
        rehearsals = _run_all(emulator, forker, [(flow, None) for flow in flows])
        plan = [(crash_run.flow, point) for crash_run in rehearsals for point in _points(crash_run, scope, only)]
        crash_runs = [*rehearsals, *_run_all(emulator, forker, plan)]
        recovery.ask_again(emulator, forker, [crash_run for crash_run in crash_runs if crash_run.point])
        with recovery.sweeper(emulator, scope.sweep_every):
            return _await_recovery(emulator, crash_runs, scope)


def _run_all(
    emulator: Emulator, forker: ProcessForker, plan: Sequence[tuple[Flow, CrashPoint | None]]
) -> list[CrashRun]:
    """Play every scene of `plan` until its process has ended."""
    waiting, active, over = list(reversed(plan)), list[CrashRun](), list[CrashRun]()
    while waiting or active:
        while waiting and len(active) < SIDE_BY_SIDE:
            active.append(begin(emulator, forker, *waiting.pop(), tenant=f"t-{secrets.token_hex(6)}"))
        for crash_run in active.copy():
            if crash_run.poll(emulator):
                active.remove(crash_run)
                over.append(crash_run)
        time.sleep(PAUSE)
    order = {flow.name: number for number, (flow, _) in reversed(list(enumerate(plan)))}
    return sorted(over, key=lambda crash_run: order[crash_run.flow.name])


def _points(rehearsals: CrashRun, scope: Scope, only: CrashPoint | None) -> Iterator[CrashPoint]:
    if not _in_order(rehearsals.flow.calls, [line.split()[1] for line in rehearsals.calls]):
        made = ", ".join(rehearsals.calls)
        rehearsals.violations.append(f"made other calls than it says before it ended with {rehearsals.status}: {made}")
    if only is not None:
        yield only
        return
    seen: Counter[str] = Counter()
    calls = rehearsals.calls if rehearsals.flow.target == SWEEPER else _without_idle_end(rehearsals.calls)
    for sequence, operation in map(str.split, calls):
        number = seen[sequence]
        seen[sequence] += 1
        if sequence == HEARTBEAT and number >= MOST_HEARTBEATS:
            continue
        if scope.exhaustive or number == 0:
            yield CrashPoint(sequence, number, after=False)
        if scope.exhaustive or operation not in READS:
            yield CrashPoint(sequence, number, after=True)


def _in_order(wanted: Sequence[str], made: Sequence[str]) -> bool:
    rest = iter(made)
    return all(call in rest for call in wanted)


def _without_idle_end(calls: Sequence[str]) -> Sequence[str]:
    """Without the call for more work that a worker was dismissed in: there is none, and it takes its time to say so."""
    last = max((number for number, line in enumerate(calls) if line.startswith(MAIN)), default=0)
    return [*calls[:last], *calls[last + 1 :]] if calls[last].endswith(RECEIVE) else calls


def _await_recovery(emulator: Emulator, crash_runs: Sequence[CrashRun], scope: Scope) -> list[CrashReport]:
    """Wait until every job is final, or later than it may be.

    That is told from when the last one became final: what is not noticed until then is not waited for by a worker. How
    long the workers take for what all the killed have left, at once, is the machine's affair.
    """
    noticed_within = max(emulator.settings.lease, DISPATCH_GRACE / SECOND) + scope.sweep_every
    began_at = system_clock()
    last_recovered = time.monotonic()
    reports, unrecovered = list[CrashReport](), list(crash_runs)
    while unrecovered:
        for crash_run in unrecovered.copy():
            emulator.forward(crash_run.queue, lane_of(crash_run.flow.target))
            job = emulator.row(crash_run.key)
            limit = noticed_within + crash_run.flow.takes + SLACK
            if job is not None and over(emulator, crash_run.flow, job):
                recovered_in = max(0, ended_at(emulator, crash_run.flow, job) - began_at) / SECOND
                reports.append(
                    CrashReport(
                        crash_run, recovered_in, [*crash_run.violations, *checks.violations(emulator, crash_run, job)]
                    )
                )
                last_recovered = time.monotonic()
            elif time.monotonic() - last_recovered > limit:
                stuck = f"is {job.status if job else 'not there'}, {limit:g} s after the last one was healed"
                reports.append(CrashReport(crash_run, limit, [*crash_run.violations, stuck]))
            else:
                continue
            unrecovered.remove(crash_run)
        time.sleep(LOOK_EVERY)
    order = {id(crash_run): number for number, crash_run in enumerate(crash_runs)}
    return sorted(reports, key=lambda one: order[id(one.crash_run)])

"""`python -m tests.simulation.mutants`: bugs made on purpose, each of which the simulation must find."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from coatcheck import blobs, due, lifecycle
from coatcheck.calls import Call
from coatcheck.clock import DAY
from coatcheck.lifecycle import FINAL, Guard, Move, Status
from coatcheck.record import Blob, Job
from coatcheck.table import items, moves
from tests.simulation.run import play_all, say
from worker import attempt, heart, run, settle, sweep

SETTLING = (lifecycle.SUCCEED, lifecycle.FAIL, lifecycle.TIME_OUT, lifecycle.CANCEL)
MOST_SEEDS = 6000


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: `apply` puts it into the process that calls it, for good."""

    name: str
    apply: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Caught:
    """The seed that shows a bug, and what it says; None where none did."""

    mutant: str
    seed: int | None
    flaw: str = ""


def hunt(name: str, first: int, seeds: int) -> Caught:
    """Look for the bug `name`, which is put into this process for good."""
    MUTANTS[name].apply()
    for outcome in play_all(range(first, first + seeds)):
        if outcome.flaws:
            return Caught(name, outcome.seed, outcome.flaws[0].strip().splitlines()[-1])
    return Caught(name, None)


def hunt_all(names: Iterable[str], first: int, seeds: int, processes: int) -> list[Caught]:
    """Look for each bug in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([hunt.__module__])
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        return [found.result() for found in [pool.submit(hunt, name, first, seeds) for name in names]]


def _without(guard: Guard, *moved: Move) -> Callable[[], None]:
    """The moves do not ask for `guard`."""

    def apply() -> None:
        for move in moved:
            _set(move, sources={status: guards - {guard} for status, guards in move.sources.items()})

    return apply


def _also_from(move: Move, *statuses: Status) -> Callable[[], None]:
    """The move is made from more statuses than it may be."""

    def apply() -> None:
        guards = next(iter(move.sources.values()))
        _set(move, sources={**dict.fromkeys(statuses, guards), **move.sources})

    return apply


def _not_for_sweepers() -> None:
    for move in lifecycle.MOVES:
        _set(move, by_sweeper=False)


def _set(move: Move, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(move, name, value)


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """`owner.name` is what `make` makes of it."""
    return lambda: setattr(owner, name, make(getattr(owner, name)))


def _pointer_before_bytes() -> None:
    held: dict[tuple[str, int], Call[None]] = {}
    succeeded = settle.succeeded

    def hold(_: Any, bucket: str, job: Job, result: Any, *, check: Callable[[], None]) -> Blob:
        check()
        sha256 = hashlib.sha256(result.body).digest()
        key = blobs.result_key(job)
        held[job.id, job.attempt] = blobs.put(bucket, key, result.body, content_type="x/y", sha256=sha256)
        return Blob(len(result.body), sha256, "x/y")

    def settle_first(tools: Any, job: Job, result: Blob, artifacts: int) -> Any:
        verdict = succeeded(tools, job, result, artifacts)
        tools.aws.send(held[job.id, job.attempt])
        return verdict

    _put(attempt, "store_result", hold)
    _put(settle, "succeeded", settle_first)


def _submit_without_condition() -> None:
    put_job = items.put_job

    def put(table: str, job: Job, *, now: int) -> Call[Job | None]:
        call = put_job(table, job, now=now)
        params = {name: value for name, value in call.params.items() if name in {"TableName", "Item"}}
        return replace(call, params=params)

    _put(items, "put_job", put)


def _any_running_job_is_mine() -> None:
    claim = run._claim

    def mine(tools: Any, key: Any) -> Any:
        outcome = claim(tools, key)
        job = outcome.job if isinstance(outcome, moves.Refused) else None
        return job if job is not None and job.status is Status.RUNNING else outcome

    _put(run, "_claim", mine)


def _forget_history() -> None:
    _put(settle, "_spill", lambda *_: None)


def _discard_all(tools: Any, job: Job) -> None:
    bucket = tools.deployment.bucket
    for key in tools.aws.send(blobs.keys_under(bucket, f"results/{job.tenant}/{job.id}/")):
        tools.aws.send(blobs.delete(bucket, [key]))


def _with(**changes: Any) -> Callable[[Any], Any]:
    """A function that is called with other arguments than its caller gave."""
    return lambda function: lambda *args, **kwargs: function(*args, **{**kwargs, **changes})


def _job_with(**changes: Any) -> Callable[[Any], Any]:
    """A function that is given the job with other fields than it has."""
    return lambda function: lambda table, job, **kwargs: function(table, replace(job, **changes), **kwargs)


def _and(**changes: Any) -> Callable[[Any], Any]:
    """A function whose answer has other entries than it had."""
    return lambda function: lambda *args, **kwargs: function(*args, **kwargs) | changes


def _left_alone(by_status: Any) -> Any:
    return {**by_status, Status.CANCELING: lambda *_: "early"}


def _nothing(answer: Any = None) -> Callable[[Any], Any]:
    """A function that does nothing."""
    return lambda _: lambda *_args, **_kwargs: answer


_LIST = (
    Mutant("settling without a fence", _without(Guard.FENCE, *SETTLING)),
    Mutant("retry without a fence", _without(Guard.FENCE, lifecycle.RETRY)),
    Mutant("continue without a fence", _without(Guard.FENCE, lifecycle.CONTINUE)),
    Mutant("beat without a fence", _without(Guard.FENCE, lifecycle.BEAT)),
    Mutant("the sweeper's writes do not ask for the lease", _not_for_sweepers),
    Mutant("claim of a job whose lease runs", _without(Guard.LEASE_OUT, lifecycle.CLAIM)),
    Mutant("claim with no attempts left", _without(Guard.ATTEMPTS_LEFT, lifecycle.CLAIM)),
    Mutant("claim before the start", _without(Guard.START_DUE, lifecycle.CLAIM)),
    Mutant("release before the start", _without(Guard.START_DUE, lifecycle.RELEASE)),
    Mutant("expiry of what was started and tried again", _without(Guard.TTL_PASSED, lifecycle.EXPIRE)),
    Mutant("success of a job that is being canceled", _also_from(lifecycle.SUCCEED, Status.CANCELING)),
    Mutant("success from any status", _also_from(lifecycle.SUCCEED, *Status)),
    Mutant("failure of a job that has ended", _also_from(lifecycle.FAIL, *FINAL)),
    Mutant("a running job is canceled over its worker's head", _also_from(lifecycle.CANCEL_WAITING, Status.RUNNING)),
    Mutant("the pointer before the bytes", _pointer_before_bytes),
    Mutant("submit without its condition", _submit_without_condition),
    Mutant("submit without due_at", _replaced(items, "put_job", _job_with(due_at=None))),
    Mutant("retry forgets due_at", _replaced(moves, "_queued_again", _and(due_at=None))),
    Mutant("the claim is not seen by the sweeper", _replaced(due, "for_lease", lambda _: lambda at: at + DAY)),
    Mutant("the sweeper sends nothing", _replaced(sweep, "_send", _nothing())),
    Mutant("the sweeper leaves cancels alone", _replaced(sweep, "_BY_STATUS", _left_alone)),
    Mutant("the lease is never renewed", _replaced(heart.Heart, "_due", _nothing(answer=False))),
    Mutant("a lease of an hour", _replaced(moves, "claim", _with(lease=3_600_000))),
    Mutant("any running job is taken for one's own", _any_running_job_is_mine),
    Mutant("a leg counts as a failed attempt", _replaced(moves, "continue_later", _job_with(max_attempts=0))),
    Mutant("a loser discards the winner's result", _replaced(settle, "discard", lambda _: _discard_all)),
    Mutant(
        "attempts write over each other's result",
        _replaced(blobs, "attempt_prefix", lambda _: lambda job: f"results/{job.tenant}/{job.id}/"),
    ),
    Mutant("history is forgotten where it is full", _forget_history),
)

MUTANTS = {mutant.name: mutant for mutant in _LIST}

QUICK = (
    "beat without a fence",
    "claim of a job whose lease runs",
    "claim before the start",
    "success of a job that is being canceled",
    "the pointer before the bytes",
    "submit without its condition",
    "submit without due_at",
    "retry forgets due_at",
    "the claim is not seen by the sweeper",
    "the sweeper sends nothing",
    "the sweeper leaves cancels alone",
    "the lease is never renewed",
    "a lease of an hour",
    "any running job is taken for one's own",
    "a leg counts as a failed attempt",
)
"""Those that a hundred schedules find."""


def main() -> None:
    """Hunt every mutant, and end with status 1 when one got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="how many schedules to play against each")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes to play in")
    options = parser.parse_args()
    found = hunt_all(MUTANTS, options.first, options.seeds, options.jobs)
    for caught in found:
        shown = f"seed {caught.seed:>5}: {caught.flaw}" if caught.seed is not None else "GOT AWAY"
        say(f"{caught.mutant:<52} {shown}")
    away = sum(caught.seed is None for caught in found)
    say(f"{len(found) - away} of {len(found)} bugs were found")
    sys.exit(bool(away))


if __name__ == "__main__":
    main()

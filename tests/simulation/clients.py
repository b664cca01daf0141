"""Those who hand in jobs, through the service's own code, and may want them stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from coatcheck.clock import MINUTE
from coatcheck.errors import AlreadyFinished, Gone, NotFinished, NotFound
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.table.keys import JobKey
from coatcheck.types import Catalog
from coatcheck.wire import SubmitRequest
from service import cancel, jobs, purge, replay, submit
from service.caller import Caller
from tests.simulation.asking import TENANT, attempted, caller_of, driven, insist, looped
from tests.simulation.checks import life_of
from tests.simulation.scheduler import Process
from tests.simulation.upload import send_in_parts, with_upload
from tests.simulation.world import World

MOST_PURGES = 20


@dataclass(eq=False)
class Errand:
    """What one client wants: a job, under an idempotency key if it has one, and later perhaps more.

    Times are milliseconds: `at` is on the clock of the world, the others are after it. At `again_after` another
    process of the service is asked for the same job.
    """

    at: int
    asked: SubmitRequest
    key: str | None
    cancel_after: int | None = None
    again_after: int | None = None
    purge_after: int | None = None
    replay_after: int | None = None
    upload: bytes | None = None
    unknown: bool = False
    job: Job | None = None
    given_up: bool = False


def client(world: World, catalog: Catalog, errand: Errand) -> Callable[[Process], None]:
    """One client's requests to a process of the API, in which they run. A client tries again what failed."""
    world.checks.errands.add(errand)
    later = sorted(
        (after, do)
        for after, do in (
            (errand.cancel_after, "cancel"),
            (errand.purge_after, "purge"),
            (errand.replay_after, "replay"),
        )
        if after is not None
    )

    def play(process: Process) -> None:
        caller = caller_of(world, catalog, process)
        world.scheduler.wait(errand.at)
        # who was interrupted goes on with the upload that was completed
        if errand.upload is not None and "file" not in errand.asked.input:
            errand.asked = with_upload(errand.asked, send_in_parts(world, caller, errand.upload))
        _submit_until_done(world, caller, errand)
        while later and errand.job is not None:
            after, do = later[0]
            world.scheduler.wait(errand.at + after)
            insist(world, partial(_LATER[do], world, caller, errand))
            del later[0]
        world.checks.errands.discard(errand)

    return play


def again(world: World, catalog: Catalog, errand: Errand) -> Callable[[Process], None]:
    """The same request under the same key, sent to another process long afterwards."""
    assert errand.again_after is not None
    at = errand.at + errand.again_after
    repeated = Errand(at, errand.asked, errand.key)
    world.checks.errands.add(repeated)

    def play(process: Process) -> None:
        world.scheduler.wait(at)
        _submit_until_done(world, caller_of(world, catalog, process), repeated)
        world.checks.errands.discard(repeated)

    return play


def _submit_until_done(world: World, caller: Caller, errand: Errand) -> None:
    while errand.job is None and not errand.given_up:
        attempted(world, lambda: _submit(world, caller, errand, errand.key))


def _submit(world: World, caller: Caller, errand: Errand, key: str | None) -> None:
    # without a key it would be another job: whoever has none must not try twice
    errand.given_up = key is None
    asked_at = caller.tools.clock()
    drive = driven if errand.upload is None else looped
    errand.job = drive(submit.submit(caller, submit.Order(errand.asked, key))).job
    world.checks.accepted[life_of(errand.job)] = errand.job
    if errand.job.gone(asked_at):
        world.checks.flaw(f"a client was given {errand.job.id}, which was gone")
    if errand.unknown:
        world.write_unknown(JobKey(TENANT, errand.job.id).item())


def _cancel(world: World, caller: Caller, errand: Errand) -> None:
    job_id = _job(errand).id
    with contextlib.suppress(AlreadyFinished, Gone, NotFound):
        job = driven(cancel.cancel(caller, driven(jobs.find_kept(caller, job_id))))
        if job.status in {Status.CANCELING, Status.CANCELED}:
            world.checks.canceled.add(life_of(job))


def _purge(world: World, caller: Caller, errand: Errand) -> None:
    """Delete the job, which may not have ended, or be another by now."""
    for _ in range(MOST_PURGES):
        try:
            job = driven(jobs.find(caller, _job(errand).id))
            if life_of(job) != life_of(_job(errand)):
                return
            if job.done:
                world.checks.to_be_forgotten.add(life_of(job))
            driven(purge.purge(caller, job))
        except NotFinished:
            world.sleep(world.chance.randint(1, 20) * MINUTE)
        except NotFound:
            return
        else:
            world.checks.forgotten[life_of(job)] = world.now
            return


def _replay(world: World, caller: Caller, errand: Errand) -> None:
    with contextlib.suppress(NotFinished, Gone, NotFound):
        job = driven(jobs.find_kept(caller, _job(errand).id))
        made = looped(replay.replay(caller, job, f"replay of {errand.key or job.id}")).job
        world.checks.accepted[life_of(made)] = made


def _job(errand: Errand) -> Job:
    assert errand.job is not None
    return errand.job


_LATER: Mapping[str, Callable[[World, Caller, Errand], None]] = {
    "cancel": _cancel,
    "purge": _purge,
    "replay": _replay,
}

"""Those who hand in jobs, through the service's own code, and may want them stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from coatcheck.authoring.types import Catalog
from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import MINUTE
from coatcheck.core.errors import AlreadyFinished, Gone, NotFinished, NotFound
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_service.actions import cancel, job_lookup, purge, replay, submit
from coatcheck_service.http.authentication import RequestContext
from tests.simulation.api_process import (
    TENANT,
    context_of,
    retry_until_answered,
    run_in_loop,
    run_without_loop,
    try_once,
)
from tests.simulation.checks import incarnation_of
from tests.simulation.model import objects_of
from tests.simulation.multipart_client import send_in_parts, with_upload
from tests.simulation.scheduler import Process
from tests.simulation.world import World

MOST_PURGES = 20


@dataclass(eq=False)
class ClientScript:
    """What one client wants: a job, under an idempotency key if it has one, and later perhaps more.

    Times are milliseconds: `at` is on the clock of the world, the others are after it. At `again_after` another
    process of the service is asked for the same job.
    """

    at: int
    submit_request: SubmitRequest
    key: str | None
    cancel_after: int | None = None
    again_after: int | None = None
    purge_after: int | None = None
    replay_after: int | None = None
    upload: bytes | None = None
    unknown: bool = False
    job: Job | None = None
    given_up: bool = False


def client(world: World, catalog: Catalog, client_script: ClientScript) -> Callable[[Process], None]:
    """One client's requests to a process of the API, in which they run. A client tries again what failed."""
    world.checks.client_scripts.add(client_script)
    later = sorted(
        (after, do)
        for after, do in (
            (client_script.cancel_after, "cancel"),
            (client_script.purge_after, "purge"),
            (client_script.replay_after, "replay"),
        )
        if after is not None
    )

    def play(process: Process) -> None:
        context = context_of(world, catalog, process)
        world.scheduler.wait(client_script.at)
        # who was interrupted goes on with the upload that was completed
        if client_script.upload is not None and "file" not in client_script.submit_request.input:
            client_script.submit_request = with_upload(
                client_script.submit_request, send_in_parts(world, context, client_script.upload)
            )
        _submit_until_done(world, context, client_script)
        while later and client_script.job is not None:
            after, do = later[0]
            world.scheduler.wait(client_script.at + after)
            retry_until_answered(world, partial(_LATER[do], world, context, client_script))
            del later[0]
        world.checks.client_scripts.discard(client_script)

    return play


def again(world: World, catalog: Catalog, client_script: ClientScript) -> Callable[[Process], None]:
    """The same request under the same key, sent to another process long afterwards."""
    assert client_script.again_after is not None
    at = client_script.at + client_script.again_after
    repeated = ClientScript(at, client_script.submit_request, client_script.key)
    world.checks.client_scripts.add(repeated)

    def play(process: Process) -> None:
        world.scheduler.wait(at)
        _submit_until_done(world, context_of(world, catalog, process), repeated)
        world.checks.client_scripts.discard(repeated)

    return play


def _submit_until_done(world: World, context: RequestContext, client_script: ClientScript) -> None:
    while client_script.job is None and not client_script.given_up:
        try_once(world, lambda: _submit(world, context, client_script, client_script.key))


def _submit(world: World, context: RequestContext, client_script: ClientScript, key: str | None) -> None:
    # without a key it would be another job: whoever has none must not try twice
    client_script.given_up = key is None
    asked_at = context.dependencies.clock()
    drive = run_without_loop if client_script.upload is None else run_in_loop
    client_script.job = drive(submit.submit(context, submit.Submission(client_script.submit_request, key))).job
    world.checks.accepted[incarnation_of(client_script.job)] = client_script.job
    if client_script.job.gone(asked_at):
        world.checks.violation(f"a client was given {client_script.job.id}, which was gone")
    if client_script.unknown:
        world.write_unknown(JobKey(TENANT, client_script.job.id).item())


def _cancel(world: World, context: RequestContext, client_script: ClientScript) -> None:
    job_id = _job(client_script).id
    with contextlib.suppress(AlreadyFinished, Gone, NotFound):
        job = run_without_loop(cancel.cancel(context, run_without_loop(job_lookup.find_retained(context, job_id))))
        if job.status in {Status.CANCELING, Status.CANCELED}:
            world.checks.canceled.add(incarnation_of(job))


def _purge(world: World, context: RequestContext, client_script: ClientScript) -> None:
    """Delete the job, which may not have ended, or be another by now."""
    for _ in range(MOST_PURGES):
        try:
            job = run_without_loop(job_lookup.find(context, _job(client_script).id))
            if incarnation_of(job) != incarnation_of(_job(client_script)):
                return
            if job.done:
                world.checks.to_be_forgotten.add(incarnation_of(job))
            before = objects_of(job, world.model)
            run_without_loop(purge.purge(context, job))
        except NotFinished:
            world.sleep(world.chance.randint(1, 20) * MINUTE)
        except NotFound:
            return
        else:
            world.checks.forgotten[incarnation_of(job)] = world.now
            # the sweeper removes them later: what arrives meanwhile, and what this DELETE had to remove
            after = objects_of(job, world.model)
            if left := [key for key, stored in before.items() if after.get(key) is stored]:
                world.checks.violation(f"{job.id} was deleted, and {left} are left")
            return


def _replay(world: World, context: RequestContext, client_script: ClientScript) -> None:
    with contextlib.suppress(NotFinished, Gone, NotFound):
        job = run_without_loop(job_lookup.find_retained(context, _job(client_script).id))
        made = run_in_loop(replay.replay(context, job, f"replay of {client_script.key or job.id}")).job
        world.checks.accepted[incarnation_of(made)] = made


def _job(client_script: ClientScript) -> Job:
    assert client_script.job is not None
    return client_script.job


_LATER: Mapping[str, Callable[[World, RequestContext, ClientScript], None]] = {
    "cancel": _cancel,
    "purge": _purge,
    "replay": _replay,
}

"""What the jobs of a schedule are, and the handler that does with each attempt what its plan says."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog
from coatcheck.authoring.retry import Reject, RetryLater, RetryPolicy
from coatcheck.authoring.types import Catalog, Continue, Handler, Handlers, JobType, Result
from coatcheck.authoring.upload import Upload
from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.api.webhook_models import JobWebhook
from coatcheck.core.aws.dynamodb.item_size import HOT_ROW_BYTES, MAX_RESULT_IN_ROW
from coatcheck.core.clock import SECOND
from coatcheck.core.webhooks import EVENTS
from tests.simulation.clients import ClientScript
from tests.simulation.fault_history import AttemptKey
from tests.simulation.scheduler import Process
from tests.simulation.slots import with_type
from tests.simulation.world import World


class AttemptPlan(BaseModel):
    """What one attempt does, after so many seconds of work."""

    kind: str
    seconds: float


class JobPlan(BaseModel):
    """The input of a job of the simulation: its attempts in order; the last act stands for all that follow."""

    acts: list[AttemptPlan]
    padding: str = ""
    file: Upload | None = None


JOB_TYPE = JobType("sim.job", JobPlan, Result, timeout=2000, max_attempts=4, retry=RetryPolicy(base=2, cap=60))
OTHER_TYPE = replace(JOB_TYPE, name="sim.other")
CATALOG: Catalog = catalog(JOB_TYPE, OTHER_TYPE)

_LATER = (5.0, 300.0, 1200.0, 3600.0)


class PlannedHandler:
    """The handler in the runners of one supervisor of one world."""

    legs = 9
    """How many of them make a job that goes on."""

    def __init__(self, world: World, supervisor: Process) -> None:
        self._world, self._supervisor = world, supervisor

    def handlers(self) -> Handlers:
        """What a worker is given."""
        return {one.name: Handler(one, self.run) for one in (JOB_TYPE, OTHER_TYPE)}

    def run(self, plan: JobPlan, ctx: Context) -> Result | Continue:
        """Do the act of this attempt. Raises what it asks for."""
        attempt_key = _attempt_key(ctx)
        checks = self._world.checks
        self._world.say(self._runner, f"runs attempt {attempt_key[2]} of {ctx.job_id}")
        checks.begins(self._supervisor, attempt_key, ctx.checkpoint)
        try:
            attempt_plan = plan.acts[min(attempt_key[2], len(plan.acts)) - 1]
            self._work_for(attempt_plan, ctx)
            return _OUTCOMES[attempt_plan.kind](self, ctx)
        finally:
            checks.ends(attempt_key)

    def succeed(self, ctx: Context) -> Result:
        """A small result."""
        return self._result(ctx, b"")

    def succeed_large(self, ctx: Context) -> Result:
        """A result that goes to the bucket, and an artifact."""
        self._write(ctx, "copy.txt")
        return self._result(ctx, self._world.chance.randbytes(MAX_RESULT_IN_ROW))

    def fail(self, _: Context) -> Result:
        """An error that may pass."""
        raise ValueError

    def reject(self, _: Context) -> Result:
        """An error that does not."""
        raise Reject("never")

    def leave(self, _: Context) -> Result:
        """What ends the process where nobody catches it."""
        raise SystemExit(3)

    def crash(self, _: Context) -> Result:
        """What ends the process at once."""
        self._world.crash(self._runner)
        raise AssertionError

    def later(self, _: Context) -> Result:
        """Not now."""
        raise RetryLater(self._world.chance.choice(_LATER))

    def continue_job(self, ctx: Context) -> Result | Continue:
        """One leg of several."""
        done = ctx.checkpoint["legs"] + 1 if ctx.checkpoint else 1
        for name in self._world.chance.choice(((), ("page",), ("page", "summary"))):
            self._write(ctx, name if name == "summary" else f"{name}-{done}")
        if done == self.legs:
            return self._result(ctx, b"")
        # random, so that it does not deflate to so little that it stays in the row
        padding = self._world.chance.randbytes(
            self._world.chance.choice((0, HOT_ROW_BYTES // 2, HOT_ROW_BYTES // 2))
        ).hex()
        return Continue({"legs": done, "attempt": _attempt_key(ctx)[2], "padding": padding})

    def _write(self, ctx: Context, name: str) -> None:
        body = self._world.chance.randbytes(8)
        with ctx.artifact(name) as file:
            file.write(body)
        self._world.checks.artifacts.written(_attempt_key(ctx), name, body)

    @property
    def _runner(self) -> Process:
        return self._world.scheduler.current.process

    def _result(self, ctx: Context, padding: bytes) -> Result:
        nonce = self._world.chance.randbytes(8).hex()
        body = f"{ctx.job_id} {_attempt_key(ctx)[2]} {nonce}".encode() + padding
        self._world.checks.returns(_attempt_key(ctx), body)
        return Result(body)

    def _work_for(self, attempt_plan: AttemptPlan, ctx: Context) -> None:
        """Work for a while; a deaf handler never looks whether it is to stop."""
        deaf = attempt_plan.kind == "deaf"
        left = round(attempt_plan.seconds * SECOND)
        interval = max(8 * SECOND, left // 50)
        while left > 0:
            step = left if deaf else min(left, interval)
            self._world.sleep(step)
            left -= step
            if not deaf:
                ctx.progress(left / (attempt_plan.seconds * SECOND))


def _attempt_key(ctx: Context) -> AttemptKey:
    """Which attempt of which job it is; handlers are not told when it was created."""
    job = ctx._job  # type: ignore[attr-defined]  # every context of the worker has it
    return job.id, job.created_at, job.attempt


_OUTCOMES: Mapping[str, Callable[[PlannedHandler, Context], Result | Continue]] = {
    "succeed": PlannedHandler.succeed,
    "succeed large": PlannedHandler.succeed_large,
    "deaf": PlannedHandler.succeed,
    "fail": PlannedHandler.fail,
    "leave": PlannedHandler.leave,
    "crash": PlannedHandler.crash,
    "reject": PlannedHandler.reject,
    "later": PlannedHandler.later,
    "continue": PlannedHandler.continue_job,
}


def client_script(
    chance: random.Random, number: int, seed: int, *, long: bool = False, brief: bool = False
) -> ClientScript:
    """A client's wish. `long`: its attempts take many beats. `brief`: it is not kept for long."""
    submit_request = SubmitRequest(
        type=with_type(CATALOG, seed, number),
        input=_plan(chance, _LONG if long else _SHORT).model_dump(exclude_none=True),
        delay=chance.choice((5, 60, 1000, 2000)) if chance.random() < 0.2 else None,
        queue_ttl=chance.choice((1, 5, 30, 60, 400)) if chance.random() < 0.25 else None,
        timeout=JOB_TYPE.timeout if long or chance.random() < 0.1 else chance.choice((20, 90, 200)),
        max_attempts=chance.choice((1, 2, 3, 4)),
        retention=chance.choice((3600, 7200)) if brief else None,
        metadata={"errand": str(number)},
        webhook=_webhook(chance) if chance.random() < 0.5 else None,
    )
    key = f"key-{number}" if chance.random() < 0.85 else None
    upload = chance.randbytes(chance.randint(1, 10)) if chance.random() < 0.05 else None

    def perhaps(probability: float, longest: int) -> int | None:
        return chance.randint(0, longest) * SECOND if chance.random() < probability else None

    return ClientScript(
        at=chance.randint(0, 90) * SECOND,
        submit_request=submit_request,
        key=key,
        cancel_after=perhaps(0.3, 150),
        again_after=perhaps(0.5 if brief else 0.1, 9000 if brief else 3600) if key and not upload else None,
        purge_after=perhaps(0.3 if brief else 0.1, 1800),
        replay_after=perhaps(0.1, 1800),
        upload=upload,
        unknown=chance.random() < 0.1,
    )


def _webhook(chance: random.Random) -> JobWebhook:
    """Somebody is to be told of the end, or the start, or both."""
    wanted = chance.choice((EVENTS[1:], EVENTS, EVENTS[:1]))
    return JobWebhook(url="https://receiver.test/hook", events=list(wanted))


_SHORT, _LONG = (0, 0, 0.5, 2, 5, 20, 70, 120), (70, 120, 300, 600)


def _plan(chance: random.Random, seconds: Sequence[float]) -> JobPlan:
    kinds = ["succeed"] * 2 + ["succeed large"] * 3 + list(_OUTCOMES)
    if chance.random() < 0.4:
        kinds = [chance.choice(list(_OUTCOMES))]
    acts = [
        AttemptPlan(kind=chance.choice(kinds), seconds=_seconds(chance, seconds)) for _ in range(chance.randint(1, 4))
    ]
    # random text, so that it does not deflate to so little that it stays in the row
    padding = chance.randbytes(HOT_ROW_BYTES // 2).hex() if chance.random() < 0.2 else ""
    return JobPlan(acts=acts, padding=padding)


def _seconds(chance: random.Random, usual: Sequence[float]) -> float:
    return chance.choice(usual) if chance.random() < 0.97 else 1000

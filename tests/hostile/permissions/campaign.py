"""Proves each statement of each function's role: what asks for it, and what fails without it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.permissions.paths import PATHS
from tests.hostile.permissions.roles import Request, Roles, Statement, decisions
from tests.hostile.permissions.traveller import Traveller, traveller
from tests.journeys.up_process import COATCHECK, UpProcess
from tests.journeys.webhook_receiver import run_receiver

_POLLING = "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:GetQueueAttributes"

NOT_TRAVELLED: Mapping[str, str] = {
    "ApiRole secretsmanager:GetSecretValue": "each process reads the key of webhooks once, before it is taken away",
    "DelivererRole secretsmanager:GetSecretValue": "as the API's",
    f"WorkerRole {_POLLING}": "Lambda itself receives and deletes; ChangeMessageVisibility only saves time",
    f"DelivererRole {_POLLING}": "as the worker's",
    "WorkerRole s3:PutObject, s3:AbortMultipartUpload": (
        "checkpoints: no job type of the example continues (tests/aws/worker/test_legs.py)"
    ),
    "SweeperRole lambda:InvokeFunction": "a backlog too large for one sweep (tests/simulation/test_backlogs.py)",
}
"""The statements without which no path fails, by title, and why not."""


@dataclass(frozen=True)
class Stop:
    """Where the paths are gone, and the emulator's log of who asked for what."""

    one: Traveller
    roles: Roles
    log: Path

    def decisions(self) -> dict[str, list[Request]]:
        """What was allowed and denied until now."""
        return decisions(self.log)


@contextmanager
def whole_stack() -> Iterator[Stop]:
    """`coatcheck up --whole`, with IAM enforced, until the block ends."""
    place = Path(tempfile.mkdtemp(prefix="permissions-"))
    up = UpProcess(place / "home", ["--whole"], place / "up.log", command=COATCHECK, cwd=None)
    try:
        stack = up.ready()
        with run_receiver() as receiver, traveller(stack, receiver) as one:
            yield Stop(one, Roles(stack), stack.home / "logs" / "ministack.log")
        up.stop()
    finally:
        up.kill()
        shutil.rmtree(place, ignore_errors=True)


def unneeded(statements: Sequence[Statement], asked: Sequence[Request]) -> list[Statement]:
    """Return the statements that allowed nothing that was asked for."""
    return [one for one in statements if not any(one.allows(request) for request in asked)]


def unneeded_actions(statements: Sequence[Statement], asked: Sequence[Request]) -> Iterator[str]:
    """Yield each action of a statement that nothing asked for."""
    for one in statements:
        used = {request.action for request in asked if one.allows(request)}
        for action in one.actions:
            if action not in used:
                yield f"{one.title}: {action}"


def travel(stop: Stop) -> Iterator[tuple[str, float, Sequence[Request]]]:
    """Go all paths; yields the name of each, the seconds it took, and what was allowed for the first time on it."""
    known = len(stop.decisions()["allows"])
    for name, path in PATHS.items():
        began = time.monotonic()
        path(stop.one)
        allowed = stop.decisions()["allows"]
        yield name, time.monotonic() - began, allowed[known:]
        known = len(allowed)


def failing_without(stop: Stop, statement: Statement, first: str) -> str:
    """Take a statement away, and return the path that fails for it, and how; nothing if none does.

    `first` is the path to try first. A refusal that the code survives counts too: the log says it as an error, which an
    alarm hears, and no journey passes with it.
    """
    known = len(stop.decisions()["denies"])
    stop.roles.remove(statement)
    try:
        for name in sorted(PATHS, key=lambda name: name != first):
            try:
                PATHS[name](stop.one)
            except Exception as error:  # noqa: BLE001 - whatever it is, the path fails
                return f"{name}: {(str(error).splitlines() or [type(error).__name__])[0][:150]}"
            if denied := stop.decisions()["denies"][known:]:
                return f"{name}: goes on, and the log says that {denied[0].action} on {denied[0].resource} is denied"
    finally:
        stop.roles.restore(statement)
    return ""

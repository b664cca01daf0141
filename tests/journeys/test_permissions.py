"""The roles of the functions, with IAM enforced: a short form of `make permissions`."""

from __future__ import annotations

from tests.hostile.permissions.campaign import NOT_TRAVELLED, unneeded
from tests.hostile.permissions.paths import PATHS
from tests.hostile.permissions.roles import Roles, decisions
from tests.hostile.permissions.traveller import traveller
from tests.journeys.up_process import Stack
from tests.journeys.webhook_receiver import run_receiver


def test_each_statement_of_each_role_is_asked_for_and_nothing_is_denied(full_stack: Stack) -> None:
    with run_receiver() as receiver, traveller(full_stack, receiver) as one:
        for path in PATHS.values():
            path(one)
    decided = decisions(full_stack.home / "logs" / "ministack.log")
    assert decided["denies"] == []
    idle = {statement.title for statement in unneeded(Roles(full_stack).statements(), decided["allows"])}
    assert idle <= NOT_TRAVELLED.keys()

"""Bugs in what a tenant is counted to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coatcheck.core import tallies
from coatcheck.core.flows import count_job
from coatcheck_service.actions import cancel, submit
from coatcheck_worker.supervisor import attempt
from coatcheck_worker.sweep import recovery
from tests.mutants.mutant import Mutant, patched


def _flow_of_nothing(_: Any) -> Any:
    def flow(*_args: Any, **_kwargs: Any) -> Iterator[Any]:
        yield from ()

    return flow


def _awaiting_nothing(_: Any) -> Any:
    async def answer(*_args: Any, **_kwargs: Any) -> None:
        return None

    return answer


MUTANTS = (
    Mutant("a job that starts is counted as waiting", patch=patched(attempt, "claimed", _flow_of_nothing)),
    Mutant("a job that was canceled is counted as waiting", patch=patched(cancel, "stopped_waiting", _flow_of_nothing)),
    Mutant(
        "a job that has expired is counted as waiting", patch=patched(recovery, "stopped_waiting", _flow_of_nothing)
    ),
    Mutant("nothing that was counted is given back", patch=patched(count_job, "give_back", _flow_of_nothing)),
    Mutant(
        "a submit whose job another process has made stays counted",
        patch=patched(submit, "uncharge_submit", _awaiting_nothing),
        test="tests/aws/service/test_waiting_and_stored.py"
        "::test_a_submit_whose_job_another_process_has_made_is_not_counted",
    ),
    Mutant(
        "a job is taken for the one that had its id before",
        patch=patched(tallies, "named", lambda _: lambda job: job.id),
        test="tests/aws/worker/test_tallies.py::test_a_job_is_not_taken_for_the_one_that_had_its_id_before",
    ),
    Mutant("a job is made and not counted", patch=patched(submit, "charge_submit", _awaiting_nothing)),
)

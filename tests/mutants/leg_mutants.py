"""Bugs in what is kept and shown of the legs of a job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.flow import Flow
from coatcheck.core.flows import artifacts
from coatcheck.core.job import Job, Legs
from coatcheck_worker import orphans
from coatcheck_worker.dependencies import Ack
from coatcheck_worker.supervisor import settle
from tests.mutants.mutant import Mutant, patched, with_arguments

LEGS = "tests/aws/worker/test_legs.py"
MODEL = "tests/model/test_legs.py"


def _discards_what_was_refused(continued: Any) -> Any:
    """A `Continue` that is refused may be one's own, repeated: its artifacts are then those of the next leg."""

    def discarding(dependencies: Any, job: Job, *args: Any, **kwargs: Any) -> Any:
        disposition = continued(dependencies, job, *args, **kwargs)
        if disposition == Ack():
            orphans.discard_attempt(dependencies, job)
        return disposition

    return discarding


def _naming_no_earlier(put_artifacts: Any) -> Any:
    return lambda table, job, made, **kwargs: put_artifacts(table, replace(job, legs=Legs()), made, **kwargs)


def _all_lists(_: Any) -> Any:
    """Those of attempts that were taken over too."""
    return lambda lists, _kept: [made for one in lists.values() for made in one.made]


def _removes_nothing(_table: str, _job: Job) -> Flow[None]:
    yield from ()


MUTANTS = (
    Mutant(
        "what an attempt listed that was taken over is shown",
        patch=patched(artifacts, "_of_earlier_legs", _all_lists),
        test=f"{MODEL}::test_what_the_legs_made_is_shown_and_they_are_no_attempts",
    ),
    Mutant(
        "the artifacts of a leg are forgotten",
        patch=patched(transitions, "continue_later", with_arguments(artifact_count=0)),
    ),
    Mutant(
        "a list does not name the one before it",
        patch=patched(job_items, "put_artifacts", _naming_no_earlier),
    ),
    Mutant(
        "artifacts of earlier legs are looked for under the last attempt",
        patch=patched(s3_keys, "artifact_key", lambda key: lambda job, name, _attempt=None: key(job, name)),
    ),
    Mutant(
        "a Continue that is repeated and refused discards what the next leg has",
        patch=patched(settle, "continued", _discards_what_was_refused),
        test=f"{LEGS}::test_a_leg_whose_end_was_not_heard_of_keeps_its_artifacts_when_the_next_has_begun",
    ),
    Mutant(
        "a leg shows as an attempt",
        patch=patched(Job, "counted_attempt", lambda _: property(lambda job: job.attempt)),
    ),
    Mutant(
        "artifacts are shown before the job has succeeded",
        patch=patched(Job, "has_artifacts", lambda _: property(lambda job: job.legs.kept > 0)),
        test=f"{MODEL}::test_what_the_legs_made_is_shown_and_they_are_no_attempts",
    ),
    Mutant(
        "lists of artifacts stay when a job has expired",
        patch=patched(orphans, "remove_artifact_lists", lambda _: _removes_nothing),
        test=f"{LEGS}::test_what_all_legs_left_goes_with_the_job",
    ),
)

"""Any sequence of legs, failures and workers that die: each artifact of a leg is shown, and no other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.api.views import attempts_before_row, event_views, job_view
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.history import earlier_events, put_history_page
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import SUCCEED, Status
from tests.job_rows import NOW, make_job
from tests.simulation.model import Model, ModelTransport

End = Literal["continues", "fails", "is handed back", "is refused"]
"""How a run ends. The last is refused: its worker lists its artifacts, and the sweeper was faster."""

RUNS = st.tuples(
    st.sampled_from(["continues", "fails", "is handed back", "is refused"]),
    st.sets(st.sampled_from("abcd")),
)
ERROR = JobError("handler-error", "it")


@dataclass
class Played:
    """A job that is played, and what must come of it."""

    transport: ModelTransport = field(default_factory=lambda: ModelTransport(Model(), lambda: NOW))
    expected: dict[str, int] = field(default_factory=dict)
    attempt: int = 1
    handed_back: int = 0

    def claim(self) -> Job:
        """The next run."""
        claim = transitions.claim("table", JobKey("t", "job_1"), now=NOW, lease=MINUTE, owner="me")
        return self._checked(self.transport.send(claim))

    def run(self, end: End, names: set[str]) -> None:
        """One run that does not end the job."""
        job = self.claim()
        assert (job.counted_attempt, job.counted_max_attempts) == (self.attempt, 99 + self.handed_back)
        if transitions.must_spill(job):
            self.transport.send(put_history_page("table", job))
        if end in {"continues", "is refused"} and names:
            self.transport.send(job_items.put_artifacts("table", job, _made(job, names), more_legs=True))
        row = self._checked(self.transport.send(self._ended(job, end, names)))
        assert row.counted_attempt == self.attempt
        assert not row.has_artifacts
        if end == "continues":
            self.expected |= dict.fromkeys(names, job.attempt)
        else:
            self.attempt += 1
            self.handed_back += end == "is handed back"

    def _ended(self, job: Job, end: End, names: set[str]) -> Call[transitions.TransitionOutcome]:
        if end == "continues":
            checkpoint = Blob.of(b"1", JSON)
            return transitions.continue_later("table", job, now=NOW, checkpoint=checkpoint, artifact_count=len(names))
        counted = end != "is handed back"
        return transitions.retry("table", job, now=NOW, start_at=NOW, error=ERROR, counted=counted)

    def succeed(self, names: set[str]) -> Job:
        """The last run."""
        job = self.claim()
        if names:
            self.transport.send(job_items.put_artifacts("table", job, _made(job, names)))
        result = Blob.of(b"1", JSON)
        end = transitions.settle("table", job, SUCCEED, now=NOW, result=result, artifact_count=len(names))
        self.expected |= dict.fromkeys(names, job.attempt)
        return self._checked(self.transport.send(end))

    def _checked(self, outcome: transitions.TransitionOutcome) -> Job:
        assert isinstance(outcome, Job)
        assert broken_invariants(outcome) == []
        return outcome


def _made(job: Job, names: set[str]) -> list[Blob]:
    return [Blob(job.attempt, b"s" * 32, "text/plain", name) for name in sorted(names)]


@given(st.lists(RUNS, max_size=30), st.sets(st.sampled_from("abcd")))
def test_what_the_legs_made_is_shown_and_they_are_no_attempts(
    runs: Sequence[tuple[End, set[str]]], last: set[str]
) -> None:
    played = Played()
    created = make_job(max_attempts=99, due_at=NOW)
    played.transport.send(job_items.put_job("table", created, now=NOW))
    for end, names in runs:
        played.run(end, names)
    job = played.succeed(last)
    made = run(played.transport, all_artifacts("table", job))
    assert {one.name: one.attempt for one in made} == played.expected
    assert all(one.blob.size == one.attempt for one in made)
    view = job_view(job, made, "https://jobs.example")
    assert (view.attempt, view.max_attempts) == (played.attempt, 99 + played.handed_back)
    assert _last_event_attempt(played.transport, job) == played.attempt


def test_lists_that_do_not_fit_in_one_answer_are_read_all_the_same() -> None:
    transport, chance = ModelTransport(Model(), lambda: NOW), random.Random(0)
    transport.send(job_items.put_job("table", make_job(due_at=NOW), now=NOW))
    claim = transitions.claim("table", JobKey("t", "job_1"), now=NOW, lease=MINUTE, owner="me")
    for leg in range(6):
        job = transport.send(claim)
        assert isinstance(job, Job)
        made = [Blob(1, chance.randbytes(32), "text/plain", f"{leg}-{number}") for number in range(8000)]
        transport.send(job_items.put_artifacts("table", job, made, more_legs=True))
        checkpoint = Blob.of(b"1", JSON)
        transport.send(
            transitions.continue_later("table", job, now=NOW, checkpoint=checkpoint, artifact_count=len(made))
        )
    job = transport.send(claim)
    assert isinstance(job, Job)
    assert transport.send(job_items.list_artifacts("table", job)).more
    assert len(run(transport, all_artifacts("table", replace(job, status=Status.SUCCEEDED)))) == 6 * 8000


def test_the_list_of_a_leg_outlasts_the_next_legs() -> None:
    job = make_job(attempt=1, claimed_at=NOW)
    last, earlier = (job_items.put_artifacts("table", job, [], more_legs=more) for more in (False, True))
    kept = [int(call.params["Item"]["ttl"]["N"]) * SECOND - NOW for call in (last, earlier)]
    assert job.timeout + job.retention < kept[0] < 10 * DAY < 400 * DAY < kept[1]


def _last_event_attempt(transport: ModelTransport, job: Job) -> int:
    """What the service tells, which goes through the pages and the row one after the other."""
    attempts = 0
    if job.history_from > 1:
        earlier = transport.send(earlier_events("table", job))
        attempts = event_views(earlier, job.id, "https://jobs.example")[-1].attempt
    assert attempts_before_row(job) == attempts
    return event_views(job.history, job.id, "https://jobs.example", attempts=attempts)[-1].attempt

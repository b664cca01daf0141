"""A job's history, in as many pages as it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.history import MAX_PAGES_PER_READ, put_history_page
from coatcheck.core.clock import DAY
from coatcheck.core.job import JSON, Blob, Job, JobError, JobEvent
from tests.aws.service.running_service import Api, problem

LOST = JobError("worker-lost", "The worker died.")

ATTEMPT = ("job.started", "job.retrying")
IN_A_PAGE = 12
LONG = MAX_PAGES_PER_READ * IN_A_PAGE
"""Events that one answer takes from the pages."""


def test_they_tell_the_jobs_life(api: Api) -> None:
    job = api.claim(api.submit()["id"])
    now = job.updated_at
    api.running_service.worker.send(
        transitions.retry(api.running_service.settings.table, job, now=now, start_at=now, error=LOST)
    )
    api.settle(api.claim(job.id))
    listed = _page(api, job.id)
    assert listed["next"] is None
    assert [(event["id"], event["type"], event["attempt"]) for event in listed["data"]] == [
        ("evt_000001", "job.queued", 0),
        ("evt_000002", "job.started", 1),
        ("evt_000003", "job.retrying", 1),
        ("evt_000004", "job.started", 2),
        ("evt_000005", "job.succeeded", 2),
    ]
    assert listed["data"][2]["error"]["code"] == "worker-lost"


def test_all_legs_are_of_one_attempt(api: Api) -> None:
    table, send = api.running_service.settings.table, api.running_service.worker.send
    job_id = api.submit()["id"]
    for _ in range(2):
        job = api.claim(job_id)
        send(transitions.continue_later(table, job, now=job.updated_at, checkpoint=Blob.of(b"1", JSON)))
    view = api.http.get(f"/v1/jobs/{job_id}").json()
    assert (view["attempt"], view["max_attempts"]) == (1, 5)
    job = api.claim(job_id)
    send(transitions.retry(table, job, now=job.updated_at, start_at=job.updated_at, error=LOST))
    api.settle(api.claim(job_id))
    listed = [(event["type"], event["attempt"]) for event in _page(api, job_id)["data"]]
    assert listed == [
        ("job.queued", 0),
        *[("job.started", 1), ("job.continuing", 1)] * 2,
        *[("job.started", 1), ("job.retrying", 1)],
        *[("job.started", 2), ("job.succeeded", 2)],
    ]
    view = api.http.get(f"/v1/jobs/{job_id}").json()
    assert (view["attempt"], view["max_attempts"]) == (2, 5)


def test_those_that_left_the_row_are_told_first(api: Api) -> None:
    job = api.row(api.submit(max_attempts=1)["id"])
    page = [JobEvent("job.started", job.created_at + n) for n in range(3)]
    gone = replace(job, created_at=job.created_at - DAY, history=(JobEvent("job.gone", 0),) * 9)
    for moved in (gone, replace(job, history=tuple(page)), replace(job, history=tuple(page[:2]))):
        _put(api, moved)
    api.overwrite(replace(job, history_from=4))
    types = [event["type"] for event in _page(api, job.id)["data"]]
    assert types == ["job.started"] * 3 + ["job.queued"]


@pytest.mark.parametrize("more", [-IN_A_PAGE, 0, IN_A_PAGE])
def test_a_history_of_any_length_is_told_whole(api: Api, more: int) -> None:
    job = _with_history(api, LONG + more)
    reply, after, pages = list[dict[str, Any]](), None, 0
    while after is not None or not pages:
        listed = _page(api, job.id, after)
        reply, after, pages = reply + listed["data"], listed["next"], pages + 1
    assert pages == (1 if more <= 0 else 2)
    assert [event["id"] for event in reply] == [f"evt_{number:06d}" for number in range(1, LONG + more + 2)]
    assert [event["attempt"] for event in reply[:-1]] == [1 + number // 2 for number in range(LONG + more)]
    assert (reply[-1]["type"], reply[-1]["attempt"]) == ("job.queued", (LONG + more) // 2)


def test_what_leaves_the_row_between_two_pages_is_told_once(api: Api) -> None:
    job = _with_history(api, LONG + IN_A_PAGE)
    first = _page(api, job.id)
    _put(api, job)
    api.overwrite(replace(job, history=(JobEvent("job.started", job.created_at),), history_from=job.history_from + 1))
    second = _page(api, job.id, first["next"])
    reply = [event["id"] for event in [*first["data"], *second["data"]]]
    assert reply == [f"evt_{number:06d}" for number in range(1, LONG + IN_A_PAGE + 3)]
    assert second["next"] is None


@pytest.mark.parametrize(
    "after", ["", "evt_000001", "evt_000001-", "evt_1-1", "evt_000002-1", "evt_00000\u0661-1", "evt_000001-1 ", "dlv_x"]
)
def test_a_cursor_that_is_none_is_refused(api: Api, after: str) -> None:
    job = api.submit()["id"]
    reply = problem(api.http.get(f"/v1/jobs/{job}/events", params={"after": after}), 422, "invalid-request")
    assert [flaw["pointer"] for flaw in reply["errors"]] == ["/after"]


def test_of_a_strangers_cursor_nothing_more_is_told(api: Api) -> None:
    job = _with_history(api, LONG + IN_A_PAGE)
    after = _page(api, job.id)["next"]
    problem(api.other.get(f"/v1/jobs/{job.id}/events", params={"after": after}), 404, "not-found")


def _page(api: Api, job_id: str, after: str | None = None) -> Any:
    answer = api.http.get(f"/v1/jobs/{job_id}/events", params={} if after is None else {"after": after})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _with_history(api: Api, length: int) -> Job:
    """A job of many legs, `length` events of which have left its row."""
    job = api.row(api.submit()["id"])
    events = [JobEvent(ATTEMPT[number % 2], job.created_at + number) for number in range(length)]
    for reply in range(0, length, IN_A_PAGE):
        _put(api, replace(job, history=tuple(events[reply : reply + IN_A_PAGE]), history_from=reply + 1))
    job = replace(job, history_from=length + 1)
    api.overwrite(job)
    return job


def _put(api: Api, moved: Job) -> None:
    api.running_service.worker.send(put_history_page(api.running_service.settings.table, moved))

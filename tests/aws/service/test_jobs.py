"""Looking at jobs, and what else can be done to them."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import Job, JobError
from coatcheck.core.lifecycle import CANCEL, FAIL, SUCCEED, TIME_OUT, Status, Transition
from coatcheck.core.messages import JobMessage
from coatcheck.core.webhooks import pending_events
from tests.aws.service.running_service import Api, problem
from tests.transports import Fault, change, on, repeat, repeat_after, send_after, throttle
from tests.waiting import eventually

LOST = JobError("worker-lost", "The worker died.")
KEY = {"Idempotency-Key": "again"}


def path(job_id: str, below: str = "") -> str:
    """The path of a job."""
    return f"/v1/jobs/{job_id}{below}"


class TestGet:
    def test_it_tells_how_the_job_goes(self, api: Api) -> None:
        job = api.claim(api.submit()["id"])
        view = api.http.get(path(job.id)).json()
        assert (view["status"], view["attempt"], view["done"], view["version"]) == ("running", 1, False, 2)
        assert view["started_at"] is not None
        api.settle(job, FAIL, error=LOST)
        answer = api.http.get(path(job.id))
        error = answer.json()["error"]
        assert "retry-after" not in answer.headers
        assert (error["code"], error["detail"], error["retryable"]) == ("worker-lost", "The worker died.", True)
        assert error["type"] == f"{api.url}/problems/worker-lost"
        assert api.anonymous.get(error["type"]).json()["title"] == error["title"]

    def test_the_etag_changes_with_the_job_alone(self, api: Api) -> None:
        job_id = api.submit()["id"]
        tag = api.http.get(path(job_id)).headers["etag"]
        for known in (tag, f'"x", W/{tag}', "*"):
            answer = api.http.get(path(job_id), headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
            assert answer.headers["retry-after"] == "1"
        api.claim(job_id)
        answer = api.http.get(path(job_id), headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != tag

    def test_a_wait_ends_with_the_job(self, api: Api) -> None:
        job = api.claim(api.submit()["id"])
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(api.http.get, path(job.id), headers={"Prefer": 'wait="20"'})
            eventually(lambda: api.spy.operations.count("BatchGetItem") >= 2)
            api.settle(job)
            answer = waiting.result(5)
        assert answer.json()["status"] == "succeeded"
        assert answer.headers["preference-applied"] == "wait=20"

    def test_a_wait_stops_when_the_client_has_gone(self, api: Api) -> None:
        job_id = api.submit()["id"]
        key = api.http.headers["authorization"]
        url = urlsplit(api.url)
        with socket.create_connection((url.hostname, url.port)) as line:
            line.sendall(
                f"GET {path(job_id)} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nPrefer: wait=25\r\n\r\n".encode()
            )
            eventually(lambda: api.spy.operations.count("BatchGetItem") >= 2)
        # the longest pause between two looks is two seconds: after more than that nobody is looking
        seen, quiet_since = -1, time.monotonic()

        def quiet() -> bool:
            nonlocal seen, quiet_since
            if len(api.spy.calls) != seen:
                seen, quiet_since = len(api.spy.calls), time.monotonic()
            return time.monotonic() - quiet_since > 2.5

        eventually(quiet)

    def test_a_wait_does_not_hammer_the_table(self, api: Api) -> None:
        job_id = api.submit()["id"]
        api.spy.calls.clear()
        answer = api.http.get(path(job_id), headers={"Prefer": "wait=3"})
        assert answer.json()["done"] is False
        assert 2 <= api.spy.operations.count("BatchGetItem") <= 16

    @pytest.mark.parametrize("prefer", ["wait", "wait=-1", "wait=x", "foo; wait=1", 'foo="wait=1,"', "wait=1.5", ""])
    def test_a_preference_that_is_none_is_ignored(self, api: Api, prefer: str) -> None:
        answer = api.http.get(path(api.submit()["id"]), headers={"Prefer": prefer})
        assert answer.status_code == 200
        assert "preference-applied" not in answer.headers

    @pytest.mark.parametrize("job_id", ["job_none", "upl_1", "job_", "x" * 5000, "job_%00", "job_é", "job_a%23b"])
    def test_what_is_not_there_is_404(self, api: Api, job_id: str) -> None:
        problem(api.http.get(path(job_id)), 404, "not-found")

    def test_a_job_beyond_its_retention_is_gone(self, api: Api) -> None:
        job = api.finished(retention=1)
        eventually(lambda: api.http.get(path(job.id)).status_code == 410)
        for below in ("", "/result", "/result/x", "/events"):
            problem(api.http.get(path(job.id, below)), 410, "gone")
        for below in ("/cancel", "/replay"):
            problem(api.http.post(path(job.id, below)), 410, "gone")
        assert api.http.get("/v1/jobs").json()["data"] == []


class TestCancel:
    @pytest.mark.parametrize("more", [{}, {"delay": 600}])
    def test_a_waiting_job_is_canceled_at_once(self, api: Api, more: dict[str, int]) -> None:
        job_id = api.submit(**more)["id"]
        answer = api.http.post(path(job_id, "/cancel"))
        assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
        assert answer.headers["content-location"] == answer.json()["urls"]["self"]
        assert answer.json()["error"]["code"] == "canceled"
        again = api.http.post(path(job_id, "/cancel"))
        assert (again.status_code, again.json()) == (200, answer.json())
        assert api.row(job_id).due_at is None

    def test_a_running_job_is_told_to_stop(self, api: Api) -> None:
        job = api.claim(api.submit()["id"])
        for _ in range(2):
            answer = api.http.post(path(job.id, "/cancel"))
            assert (answer.status_code, answer.json()["status"]) == (202, "canceling")
            assert "retry-after" in answer.headers
        api.settle(job, CANCEL, error=JobError("canceled", ""))
        assert api.http.post(path(job.id, "/cancel")).status_code == 200

    @pytest.mark.parametrize("transition", [SUCCEED, FAIL, TIME_OUT], ids=lambda transition: transition.name)
    def test_a_finished_job_cannot_be_canceled(self, api: Api, transition: Transition) -> None:
        job = api.settle(api.claim(api.submit()["id"]), transition)
        problem(api.http.post(path(job.id, "/cancel")), 409, "already-finished")

    def test_a_cancel_that_was_written_twice_is_done(self, api: Api) -> None:
        job_id = api.submit()["id"]
        api.spy.faults.append(Fault(repeat, on("UpdateItem")))
        assert api.http.post(path(job_id, "/cancel")).status_code == 200

    def test_what_happened_since_the_job_was_read_is_told_all_the_same(self, api: Api) -> None:
        """It is started and waits again before the cancel is written, which was decided on without that."""
        webhook = {"url": "https://hooks.example/", "events": ["job.started", "job.succeeded"]}
        job_id = api.submit(webhook=webhook)["id"]

        def started() -> None:
            job, now = api.claim(job_id), system_clock()
            api.running_service.worker.send(
                transitions.retry(api.running_service.settings.table, job, now=now, start_at=now, error=LOST)
            )

        api.spy.faults.append(Fault(send_after(started), on("UpdateItem"), times=1))
        answer = api.http.post(path(job_id, "/cancel"))
        row = api.row(job_id)
        assert (answer.status_code, row.status) == (200, Status.CANCELED)
        assert broken_invariants(row) == []
        assert pending_events(row) == ("job.started",)


class TestReplay:
    def test_it_is_a_new_job_with_the_same_input(self, api: Api) -> None:
        old = api.finished(
            input={"seconds": 0, "steps": 3}, metadata={"a": "b"}, timeout=9, max_attempts=2, retention=99
        )
        api.messages()
        answer = api.http.post(path(old.id, "/replay"))
        view = answer.json()
        assert answer.status_code == 202
        assert answer.headers["location"] == view["urls"]["self"]
        assert (view["replayed_from"], view["status"], view["metadata"]) == (old.id, "queued", {"a": "b"})
        new = api.row(view["id"])
        assert new.id != old.id
        assert (new.input, new.timeout, new.max_attempts, new.retention) == (
            old.input,
            old.timeout,
            old.max_attempts,
            old.retention,
        )
        assert api.messages() == [JobMessage(tenant=api.tenant, job=new.id)]

    def test_under_a_key_it_is_one_job(self, api: Api) -> None:
        old, another = api.finished(), api.finished()
        answers = [api.http.post(path(old.id, "/replay"), headers=KEY) for _ in range(3)]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert answers[2].headers["idempotent-replayed"] == "true"
        problem(api.http.post(path(another.id, "/replay"), headers=KEY), 422, "idempotency-key-reused")
        problem(api.post(KEY), 422, "idempotency-key-reused")

    def test_a_large_input_is_the_new_jobs_own(self, api: Api) -> None:
        sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
        old = api.finished(type="table.query", input={"sql": sql})
        new = api.row(api.http.post(path(old.id, "/replay")).json()["id"])
        assert new.input == old.input
        assert len(api.stored(f"inputs/{api.tenant}/{new.id}/")) == 1

    def test_a_job_that_runs_cannot_be_replayed(self, api: Api) -> None:
        answer = api.http.post(path(api.submit()["id"], "/replay"))
        problem(answer, 409, "not-finished")
        assert "retry-after" in answer.headers


class TestDelete:
    def test_nothing_is_kept(self, api: Api) -> None:
        sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
        job = api.finished(type="table.query", input={"sql": sql}, metadata={"a": "b"})
        keys = [f"results/{api.tenant}/{job.id}/1/result", f"results/{api.tenant}/{job.id}/1/artifacts/a.png"]
        for key in keys:
            api.put(key, b"bytes")
        for _ in range(2):
            answer = api.http.delete(path(job.id))
            assert (answer.status_code, answer.content) == (204, b"")
        for prefix in ("inputs", "results"):
            assert api.stored(f"{prefix}/{api.tenant}/{job.id}/") == []
        row = api.row(job.id)
        assert (row.result, row.metadata, row.history, row.input.inline) == (None, {}, (), None)
        problem(api.http.get(path(job.id)), 410, "gone")

    def test_a_small_input_is_not_kept_either(self, api: Api) -> None:
        job = api.finished(input={"seconds": 0, "steps": 7})
        assert job.input.inline is not None
        api.http.delete(path(job.id))
        assert api.row(job.id).input.inline is None

    def test_the_objects_go_when_it_is_repeated_after_a_fault(self, api: Api) -> None:
        job = api.finished()
        key = f"results/{api.tenant}/{job.id}/1/result"
        api.put(key, b"bytes")
        api.spy.faults.append(Fault(throttle, on("DeleteObjects")))
        problem(api.http.delete(path(job.id)), 503, "unavailable")
        problem(api.http.get(path(job.id, "/result")), 410, "gone")
        api.spy.faults.clear()
        assert api.http.delete(path(job.id)).status_code == 204
        assert api.stored(key) == []

    def test_a_repeat_after_a_lost_reply_leaves_the_next_job_of_its_id_alone(self, api: Api) -> None:
        old = api.settle(api.claim(api.post(KEY).json()["id"]))
        made: list[Job] = []

        def submitted_again() -> None:
            now = system_clock() + SECOND
            new = replace(old, created_at=now, finished_at=now, expires_at=now + old.retention)
            api.put(s3_keys.input_key(new), b"{}")
            assert (
                api.running_service.worker.send(job_items.put_job(api.running_service.settings.table, new, now=now))
                is None
            )
            made.append(new)

        update = on("UpdateItem")
        api.spy.faults += [Fault(repeat_after(submitted_again), update, times=1), Fault(repeat, update)]
        assert api.http.delete(path(old.id)).status_code == 204
        assert [api.row(old.id)] == made
        assert api.stored(f"inputs/{api.tenant}/{old.id}/") == [s3_keys.input_key(made[0])]

    def test_an_object_that_s3_does_not_delete_is_not_asked_for_for_ever(self, api: Api) -> None:
        job = api.finished()
        key = f"results/{api.tenant}/{job.id}/{job.created_at:013d}/1/result"
        api.put(key, b"bytes")

        def kept(call: Call[Any]) -> Call[Any]:
            nothing = {"Objects": [{"Key": f"{key}-of-another"}], "Quiet": True}
            errors = {"Errors": [{"Key": key, "Code": "InternalError"}]}
            return replace(call, params={**call.params, "Delete": nothing}, read=lambda _: call.read(errors))

        api.spy.faults.append(Fault(change(kept), on("DeleteObjects")))
        problem(api.http.delete(path(job.id)), 503, "unavailable")
        api.spy.faults.clear()
        assert api.spy.operations.count("DeleteObjects") == 1
        assert api.http.delete(path(job.id)).status_code == 204
        assert api.stored(key) == []

    def test_a_job_that_is_not_done_stays(self, api: Api) -> None:
        job_id = api.submit()["id"]
        problem(api.http.delete(path(job_id)), 409, "not-finished")
        assert api.http.get(path(job_id)).status_code == 200

    def test_what_was_never_there_is_404(self, api: Api) -> None:
        problem(api.http.delete(path("job_none")), 404, "not-found")

"""Lists of jobs, and who sees what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.job import JSON, Blob
from coatcheck.core.lifecycle import Status
from coatcheck_service.actions.list_jobs import MAX_BATCH_TRIES
from coatcheck_service.front_door import UVICORN
from tests.aws.service.running_service import Api, problem
from tests.transports import Fault, change, on


def path(job_id: str, below: str = "") -> str:
    """The path of a job."""
    return f"/v1/jobs/{job_id}{below}"


class TestList:
    def test_it_goes_through_all_newest_first(self, api: Api) -> None:
        made = [api.submit(metadata={"n": str(n)})["id"] for n in range(7)]
        seen, after, pages = [], None, 0
        while pages < 10:
            query = {"limit": "3"} | ({"after": after} if after else {})
            listed = api.http.get("/v1/jobs", params=query).json()
            seen += [job["id"] for job in listed["data"]]
            pages += 1
            after = listed["next"]
            if after is None:
                break
        assert sorted(seen) == sorted(made)
        times = [api.row(job_id).created_at for job_id in seen]
        assert times == sorted(times, reverse=True)
        assert pages == 3

    def test_filters(self, api: Api) -> None:
        slept = api.finished()
        queued = api.submit()
        asked = api.submit(type="table.query", input={"sql": "SELECT 1"})

        def listed(**query: str) -> list[str]:
            answer = api.http.get("/v1/jobs", params=query)
            assert answer.status_code == 200, answer.text
            return sorted(job["id"] for job in answer.json()["data"])

        assert listed(status="succeeded") == [slept.id]
        assert listed(type="table.query") == [asked["id"]]
        assert listed(type="demo.sleep", status="queued") == [queued["id"]]
        assert listed(type="demo.nothing") == []
        first = api.http.get(path(slept.id)).json()["created_at"]
        assert slept.id not in listed(created_after=first)
        assert listed(created_before=first) == []
        assert listed(created_after="2030-01-01T00:00:00Z", created_before="2020-01-01T00:00:00Z") == []
        assert slept.id in listed(created_after="2020-01-01T00:00:00Z")

    def test_a_filter_that_matches_little_gives_a_cursor_to_go_on(self, api: Api) -> None:
        wanted = api.finished()
        for _ in range(4):
            api.submit()
        listed = api.http.get("/v1/jobs", params={"status": "succeeded", "limit": "1"}).json()
        assert [job["id"] for job in listed["data"]] == [wanted.id]
        assert listed["next"] is None

    @pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")
    def test_a_page_is_no_larger_than_the_front_door_carries(self, api: Api) -> None:
        many = [Blob(1, b"\0" * 32, "application/x-" + "y" * 200, f"{n:0>100}") for n in range(1000)]
        made = []
        for _ in range(25):
            job = api.claim(api.submit()["id"])
            api.running_service.worker.send(job_items.put_artifacts(api.running_service.settings.table, job, many))
            made.append(api.settle(job, artifact_count=len(many)).id)
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            answer = api.http.get("/v1/jobs", params={"limit": "100", **after})
            assert answer.status_code == 200
            assert len(answer.content) <= UVICORN.inline_limit + 1024
            page = answer.json()
            seen += [job["id"] for job in page["data"]]
            if page["next"] is None:
                break
            assert len(answer.content) > UVICORN.inline_limit * 0.9
            after = {"after": page["next"]}
        assert sorted(seen) == sorted(made)
        assert len(page["data"]) < len(made)

    @pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")
    @pytest.mark.parametrize("gives", [1, 0], ids=["one at a time", "none"])
    def test_rows_that_dynamodb_leaves_out_are_asked_for_again_and_not_for_ever(self, api: Api, gives: int) -> None:
        made = [api.submit()["id"] for _ in range(4)]
        asked: list[Call[Any]] = []

        def leaves_out(call: Call[Any]) -> Call[Any]:
            asked.append(call)
            table = api.running_service.settings.table
            keys = call.params["RequestItems"][table]["Keys"]
            request = {table: {**call.params["RequestItems"][table], "Keys": keys[: max(gives, 1)]}}

            def read(answer: Any) -> Any:
                left = {table: {"Keys": keys[gives:]}} if keys[gives:] else {}
                found = {table: answer["Responses"][table][:gives]}
                return call.read({**answer, "Responses": found, "UnprocessedKeys": left})

            return replace(call, params={"RequestItems": request}, read=read)

        api.spy.faults.append(Fault(change(leaves_out), on("BatchGetItem")))
        answer = api.http.get("/v1/jobs")
        if gives:
            assert [job["id"] for job in answer.json()["data"]] == made[::-1]
        else:
            problem(answer, 503, "unavailable")
            assert "retry-after" in answer.headers
        assert len(asked) == (4 if gives else MAX_BATCH_TRIES)

    def test_what_is_gone_is_left_out(self, api: Api) -> None:
        gone, kept = api.finished(), api.finished()
        api.http.delete(path(gone.id))
        assert [job["id"] for job in api.http.get("/v1/jobs").json()["data"]] == [kept.id]

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("limit=0", "/limit"),
            ("limit=101", "/limit"),
            ("limit=x", "/limit"),
            ("status=done", "/status"),
            ("stauts=queued", "/stauts"),
            ("created_after=yesterday", "/created_after"),
            ("after=garbage", "/after"),
            ("after=é", "/after"),
            ("after=e30", "/after"),
            ("after=eyJpZCI6ImpvYl8xIiwiYXQiOi01fQ", "/after"),
            ("after=eyJpZCI6ImpvYl8xIiwiYXQiOiI1In0", "/after"),
            ("after=eyJpZCI6ImpvYl8xIiwiYXQiOjV9&created_after=2020-01-01T00:00:00Z", "/after"),
            ("after=%00", "/after"),
        ],
    )
    def test_a_query_that_does_not_fit_is_refused(self, api: Api, query: str, pointer: str) -> None:
        reply = problem(api.http.get(f"/v1/jobs?{query}"), 422, "invalid-request")
        assert [error["pointer"] for error in reply["errors"]] == [pointer]

    def test_a_cursor_of_another_tenant_leads_nowhere_else(self, api: Api) -> None:
        for _ in range(3):
            api.submit()
        after = api.http.get("/v1/jobs", params={"limit": "1"}).json()["next"]
        assert api.other.get("/v1/jobs", params={"after": after}).json() == {"data": [], "next": None}


class TestStrangers:
    def test_another_tenant_sees_nothing_of_a_job(self, api: Api) -> None:
        job = api.settle(api.claim(api.submit()["id"]), result=Blob.of(b'"secret"', JSON))
        never = "job_never"
        for method, below in (
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/result"),
            ("GET", "/result/x"),
            ("GET", "/result?link=true"),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("POST", "/replay"),
        ):
            theirs = problem(api.other.request(method, path(job.id, below)), 404, "not-found")
            nobodys = problem(api.other.request(method, path(never, below)), 404, "not-found")
            assert theirs["detail"].replace(job.id, never) == nobodys["detail"]
        assert api.other.get("/v1/jobs").json()["data"] == []
        assert api.row(job.id).status is Status.SUCCEEDED

    def test_an_upload_of_another_tenant_is_none(self, api: Api) -> None:
        upload = api.other.post("/v1/uploads", json={"filename": "a.csv", "size": 1}).json()
        body = {"sql": "SELECT 1", "tables": {"t": {"$upload": upload["id"]}}}
        problem(api.post(type="table.query", input=body), 422, "invalid-request")

    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer \xe9", "bearer a b"]
    )
    def test_without_a_key_there_is_nothing(self, api: Api, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        for method, where in (
            ("GET", "/v1/jobs"),
            ("POST", "/v1/jobs"),
            ("GET", "/v1/jobs?limit=x"),
            ("GET", "/v1/jobs/job_1"),
            ("GET", "/v1/jobs/job_1/result"),
            ("POST", "/v1/uploads"),
            ("GET", "/v1/job-types"),
            ("GET", "/v1/job-types/demo.sleep"),
        ):
            answer = api.anonymous.request(method, where, headers=headers)  # type: ignore[arg-type]
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        # a word might be a key that was imported: one read tells, for all of these requests
        assert api.spy.operations == (["GetItem"] if header == "Bearer wrong" else [])

"""Operators: what they see of all tenants and do for them, by keys that open nothing else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.cli.main import main
from coatcheck.client.sync_client import Client
from coatcheck.core.api_keys import OPERATOR_SCOPES, OperatorScope, Scope
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.slot_items import plan_visit
from coatcheck.core.aws.sqs import receive, send_dead_letter
from coatcheck.core.clock import HOUR, MINUTE, SECOND, rfc3339, system_clock
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck.core.slots import Caps
from coatcheck_infra.local.resources import client as aws_client
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from tests.aws.service.running_service import Api, RunningService, clients_of, problem, run_service
from tests.log_lines import log_lines


@dataclass(frozen=True)
class Office:
    """The service with stores of its own queues, an operator who may do all, and one who may only see."""

    service: RunningService
    keys: KeyStore
    operator: httpx.Client
    reader: httpx.Client

    def get(self, path: str, **params: Any) -> Any:
        """What the operator is shown."""
        answer = self.operator.get(f"/v1/admin{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All entries of a list, page by page."""
        after: dict[str, str] = {}
        while True:
            page = self.get(path, **params, **after)
            assert len(page["data"]) <= params.get("limit", 25)
            yield from page["data"]
            if page["next"] is None:
                return
            after = {"after": page["next"]}


@pytest.fixture(scope="module")
def service(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[RunningService]:
    """The service, with dead letters of its own."""
    sqs = aws_client("sqs", emulator_url)
    queues = {
        lane: sqs.create_queue(QueueName=f"dead-{lane}-{secrets.token_hex(4)}")["QueueUrl"]
        for lane in settings.dead_letters
    }
    with run_service(settings.model_copy(update={"dead_letters": queues}), aws, emulator_url) as running:
        yield running


@pytest.fixture(scope="module")
def office(service: RunningService, aws: Transport) -> Iterator[Office]:
    keys = KeyStore(aws, service.settings.table)

    def client(scopes: frozenset[str]) -> httpx.Client:
        headers = {"Authorization": f"Bearer {keys.create('', scopes=scopes).text}"}
        return httpx.Client(base_url=service.url, headers=headers, trust_env=False, timeout=60)

    with client(OPERATOR_SCOPES) as operator, client(frozenset({OperatorScope.READ})) as reader:
        yield Office(service, keys, operator, reader)


@pytest.fixture
def api(service: RunningService) -> Iterator[Api]:
    with clients_of(service) as clients:
        yield clients


ROUTES = [
    ("GET", "/tenants", False),
    ("GET", "/jobs", False),
    ("GET", "/stuck-jobs", False),
    ("GET", "/tenants/{tenant}/jobs/{job}", False),
    ("POST", "/tenants/{tenant}/jobs/{job}/cancel", True),
    ("GET", "/queues", False),
    ("GET", "/queues/default/dead-letters", False),
    ("GET", "/queues/default/dead-letters/none", False),
    ("POST", "/queues/default/dead-letters/none/redrive", True),
    ("DELETE", "/queues/default/dead-letters/none", True),
]


def path_of(path: str, api: Api, job: str) -> str:
    return "/v1/admin" + path.format(tenant=api.tenant, job=job)


@pytest.mark.parametrize(("method", "path", "writes"), ROUTES, ids=[f"{one[0]} {one[1]}" for one in ROUTES])
def test_only_an_operator_is_let_in(office: Office, api: Api, method: str, path: str, *, writes: bool) -> None:
    job = api.submit(delay=3600)["id"]
    of_tenant = office.keys.create(api.tenant, scopes=frozenset(Scope) | OPERATOR_SCOPES)
    headers = {"Authorization": f"Bearer {of_tenant.text}"}
    tenants = (
        api.http.request(method, path_of(path, api, job)),
        api.http.request(method, path_of(path, api, job), headers=headers),
    )
    for answer in (*tenants, api.anonymous.request(method, path_of(path, api, job))):
        problem(answer, 401, "unauthenticated")
    answer = office.reader.request(method, path_of(path, api, job))
    if writes:
        assert "admin:write" in problem(answer, 403, "missing-scope")["detail"]
        assert api.http.get(f"/v1/jobs/{job}").json()["status"] == "scheduled"
    else:
        assert answer.status_code == (404 if path.endswith("none") else 200), answer.text


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/job_1", "/v1/job-types", "/v1/webhook-endpoints", "/v1/events"])
def test_an_operators_key_opens_nothing_of_a_tenant(office: Office, path: str) -> None:
    problem(office.operator.get(path), 401, "unauthenticated")
    problem(office.operator.post("/v1/jobs", json={"type": "demo.sleep", "input": {}}), 401, "unauthenticated")


def test_a_key_that_only_looks_like_an_operators_opens_nothing(office: Office, api: Api) -> None:
    text = office.keys.create(api.tenant).text
    for forged in (text.replace("cck_", "cco_"), "cco_" + "0" * 26 + "_" + "0" * 32):
        headers = {"Authorization": f"Bearer {forged}"}
        problem(api.anonymous.get("/v1/admin/tenants", headers=headers), 401, "unauthenticated")


def test_a_revoked_operator_is_refused(office: Office, api: Api) -> None:
    issued = office.keys.create("")
    office.keys.revoke(issued.key.id)
    answer = api.anonymous.get("/v1/admin/tenants", headers={"Authorization": f"Bearer {issued.text}"})
    assert "revoked" in problem(answer, 401, "unauthenticated")["detail"]


def test_all_tenants_are_listed_once(office: Office, api: Api) -> None:
    with clients_of(office.service) as others:
        for one in (api, others):
            for _ in range(3):
                one.submit(delay=3600)
        names = [entry["tenant"] for entry in office.pages("/tenants", limit=2)]
    assert len(names) == len(set(names))
    assert {api.tenant, others.tenant} <= set(names)


def test_jobs_of_all_tenants_are_listed_each_once(office: Office, api: Api) -> None:
    with clients_of(office.service) as others:
        made = {(one.tenant, one.submit(delay=3600)["id"]) for one in (api, others) for _ in range(5)}
        found = [(entry["tenant"], entry["job"]["id"]) for entry in office.pages("/jobs", limit=3)]
        assert len(found) == len(set(found))
        assert made <= set(found)
        of_one = [entry["job"]["id"] for entry in office.pages("/jobs", limit=2, tenant=api.tenant)]
    newest_first = [view["id"] for view in api.http.get("/v1/jobs").json()["data"]]
    assert of_one == newest_first


def test_jobs_are_found_by_status_type_and_time(office: Office, api: Api) -> None:
    done, waiting = api.finished().id, api.submit(delay=3600)["id"]

    def found(**filters: str) -> list[str]:
        return [entry["job"]["id"] for entry in office.pages("/jobs", tenant=api.tenant, **filters)]

    assert found(status="succeeded") == [done]
    assert found(status="scheduled", type="demo.sleep") == [waiting]
    assert found(type="no.such") == []
    assert found(created_after=rfc3339(system_clock() + HOUR)) == []
    assert found(created_before=rfc3339(system_clock() - HOUR)) == []
    assert found(created_before=rfc3339(system_clock() - HOUR), created_after=rfc3339(system_clock() + HOUR)) == []
    assert waiting in [entry["job"]["id"] for entry in office.pages("/jobs", status="scheduled", limit=100)]
    # a filter that matches nothing costs a bounded number of reads a page
    office.service.spy.calls.clear()
    office.get("/jobs", type="no.such")
    assert len(office.service.spy.calls) < 80


def test_a_cursor_is_good_for_its_list_and_its_operator_alone(office: Office, api: Api) -> None:
    for _ in range(3):
        api.submit(delay=3600)
    cursor = office.get("/jobs", tenant=api.tenant, limit=1)["next"]
    assert office.get("/jobs", tenant=api.tenant, limit=2, after=cursor)["data"]
    refused = [
        office.operator.get("/v1/admin/jobs", params={"after": cursor}),
        office.operator.get("/v1/admin/jobs", params={"after": cursor, "tenant": api.tenant, "status": "running"}),
        office.operator.get("/v1/admin/tenants", params={"after": cursor}),
        office.operator.get("/v1/admin/stuck-jobs", params={"after": cursor}),
        office.reader.get("/v1/admin/jobs", params={"after": cursor, "tenant": api.tenant}),
    ]
    for answer in refused:
        assert problem(answer, 422, "invalid-request")["errors"][0]["pointer"] == "/after"


def test_one_job_is_shown_with_its_history_and_without_input_and_result(office: Office, api: Api) -> None:
    job = api.finished(input={"seconds": 0}, metadata={"note": "seen"})
    shown = office.get(f"/tenants/{api.tenant}/jobs/{job.id}")
    assert (shown["tenant"], shown["lane"], shown["job"]["status"]) == (api.tenant, "default", "succeeded")
    assert [event["type"] for event in shown["events"]] == ["job.queued", "job.started", "job.succeeded"]
    assert shown["job"]["result"]["size"] == len(b'{"slept":0}')
    assert "slept" not in str(shown)
    for path in (f"/tenants/{api.tenant}x/jobs/{job.id}", f"/tenants/{api.tenant}/jobs/job_none"):
        problem(office.operator.get(f"/v1/admin{path}"), 404, "not-found")
    problem(office.operator.get(f"/v1/admin/tenants/a%23b/jobs/{job.id}"), 422, "invalid-request")


def test_an_operator_cancels_a_job_and_that_is_recorded(office: Office, api: Api) -> None:
    waiting, running = api.submit(delay=3600)["id"], api.submit()["id"]
    api.claim(running)
    path = f"/v1/admin/tenants/{api.tenant}/jobs"
    with log_lines() as lines:
        canceled = office.operator.post(f"{path}/{waiting}/cancel")
        canceling = office.operator.post(f"{path}/{running}/cancel")
    assert (canceled.status_code, canceling.status_code) == (200, 202)
    view = api.http.get(f"/v1/jobs/{waiting}").json()
    assert (view["status"], view["error"]["detail"]) == ("canceled", "An operator canceled the job before it started.")
    assert api.http.get(f"/v1/jobs/{running}").json()["status"] == "canceling"
    problem(office.operator.post(f"{path}/{api.finished().id}/cancel"), 409, "already-finished")
    (entry,) = lines.audit(job=waiting)
    assert (entry["action"], entry["tenant"], entry["request_id"]) == (
        "job.canceled",
        api.tenant,
        canceled.headers["x-request-id"],
    )
    assert entry["key"].startswith("opk_")


def test_what_is_stuck_is_listed_with_the_reason(office: Office, api: Api) -> None:
    now = system_clock()
    late, fine = now - 20 * MINUTE, now + 20 * MINUTE
    rows = {name: api.row(api.submit()["id"]) for name in ("waits", "lost", "runs", "done", "fresh")}
    api.overwrite(replace(rows["waits"], due_at=late))
    running: dict[str, Any] = {"status": Status.RUNNING, "attempt": 1}
    api.overwrite(replace(rows["lost"], due_at=late, lease_until=late, **running))
    api.overwrite(replace(rows["runs"], due_at=late, lease_until=fine, **running))
    ended: dict[str, Any] = {"status": Status.SUCCEEDED, "attempt": 1, "finished_at": late, "expires_at": fine}
    api.overwrite(replace(rows["done"], due_at=late, notify=("job.succeeded",), **ended))
    found = {
        entry["job"]["id"]: entry for entry in office.pages("/stuck-jobs", limit=2) if entry["tenant"] == api.tenant
    }
    assert {name: found[row.id]["reason"] for name, row in rows.items() if row.id in found} == {
        "waits": "not-started",
        "lost": "lease-expired",
        "done": "not-notified",
    }
    assert found[rows["waits"].id]["overdue_seconds"] >= 20 * MINUTE // SECOND
    for row in rows.values():
        api.overwrite(replace(row, due_at=None))


def test_a_parked_job_is_stuck_when_nobody_looks_after_its_tenant(office: Office, api: Api) -> None:
    table, send = api.running_service.settings.table, api.running_service.worker.send
    rows = [api.row(api.submit()["id"]) for _ in range(2)]
    for row in rows:
        send(transitions.park(table, row, Caps(tenant=0), now=system_clock() - 20 * MINUTE))
    shown = [office.get(f"/tenants/{api.tenant}/jobs/{row.id}") for row in rows]
    assert [(one["due_at"], one["job"]["waiting_reason"]) for one in shown] == [(None, "tenant-limit")] * 2
    assert {row.id for row in rows} <= {one["job"]["id"] for one in office.pages("/jobs", limit=25)}
    (stuck,) = (one for one in office.pages("/stuck-jobs", limit=1) if one["tenant"] == api.tenant)
    # one job of the tenant tells of all that are parked
    assert (stuck["job"]["id"], stuck["reason"]) == (rows[0].id, "not-woken")
    assert 15 * MINUTE < stuck["overdue_seconds"] * SECOND < 30 * MINUTE
    send(plan_visit(table, api.tenant, now=system_clock()))
    assert api.tenant not in [one["tenant"] for one in office.pages("/stuck-jobs")]


def dead_letter(api: Api, body: str, lane: str = "default") -> None:
    stores = api.running_service
    stores.worker.send(send_dead_letter(stores.settings.dead_letters[lane], body, "tried"))


def listed(office: Office, lane: str = "default") -> dict[str, dict[str, Any]]:
    return {one["message_id"]: one for one in office.get(f"/queues/{lane}/dead-letters")["data"]}


@pytest.fixture
def letters(office: Office, api: Api) -> Iterator[Callable[..., str]]:
    """Puts a dead letter and tells its id; what is left at the end is deleted."""

    def put(body: str, lane: str = "default") -> str:
        before = set(listed(office, lane))
        dead_letter(api, body, lane)
        (new,) = set(listed(office, lane)) - before
        return new

    yield put
    for lane in ("default", WEBHOOKS):
        for message_id in listed(office, lane):
            office.operator.delete(f"/v1/admin/queues/{lane}/dead-letters/{message_id}")


def test_queues_are_counted(office: Office, api: Api, letters: Callable[..., str]) -> None:
    letters("{}")
    api.submit()
    lanes = {one["lane"]: one for one in office.get("/queues")["data"]}
    assert lanes.keys() == office.service.settings.queues.keys()
    assert lanes["default"]["queue"]["waiting"] >= 1
    assert lanes["default"]["dead_letters"] == {"waiting": 1, "in_flight": 0, "delayed": 0}
    assert lanes[WEBHOOKS]["dead_letters"]["waiting"] == 0


def test_dead_letters_are_listed_with_what_they_are_about(
    office: Office, api: Api, letters: Callable[..., str]
) -> None:
    waiting = api.submit()["id"]
    readable = letters(JobMessage(tenant=api.tenant, job=waiting).model_dump_json())
    broken = letters("not\x00 JSON".replace("\x00", "") + "x" * 300)
    found = listed(office)
    assert found.keys() == {readable, broken}
    assert found[readable] | {"sent_at": "", "receives": 0} == {
        "lane": "default",
        "message_id": readable,
        "sent_at": "",
        "receives": 0,
        "reason": "tried",
        "kind": "unfinished",
        "tenant": api.tenant,
        "job": waiting,
        "delivery": None,
        "status": "queued",
        "body": None,
    }
    assert (found[broken]["kind"], len(found[broken]["body"])) == ("cannot be read", 200)
    assert office.get(f"/queues/default/dead-letters/{broken}")["body"] == found[broken]["body"]
    # others receive them as soon as the answer is there
    queue = office.service.settings.dead_letters["default"]
    assert len(office.service.worker.send(receive(queue, wait=1, limit=10, visibility_timeout=0))) == 2


def test_a_dead_letter_is_redriven_or_discarded_and_that_is_recorded(
    office: Office, api: Api, letters: Callable[..., str]
) -> None:
    waiting, done = api.submit()["id"], api.finished().id
    api.messages()
    kept = letters("not JSON")
    unfinished = letters(JobMessage(tenant=api.tenant, job=waiting).model_dump_json())
    finished = letters(JobMessage(tenant=api.tenant, job=done).model_dump_json())

    def redrive(message_id: str) -> str:
        answer = office.operator.post(f"/v1/admin/queues/default/dead-letters/{message_id}/redrive")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["outcome"])

    with log_lines() as lines:
        assert [redrive(one) for one in (unfinished, finished, kept)] == ["redriven", "discarded", "left"]
    assert [message.job for message in api.messages()] == [waiting]
    assert set(listed(office)) == {kept}
    problem(office.operator.post(f"/v1/admin/queues/default/dead-letters/{unfinished}/redrive"), 404, "not-found")
    with log_lines() as more:
        answer = office.operator.delete(f"/v1/admin/queues/default/dead-letters/{kept}")
    assert answer.status_code == 204
    assert listed(office) == {}
    told = [(entry["action"], entry["target"], entry.get("job")) for one in (lines, more) for entry in one.audit()]
    assert told == [
        ("dead_letter.redriven", unfinished, waiting),
        ("dead_letter.discarded", finished, done),
        ("dead_letter.discarded", kept, None),
    ]


def test_a_lane_that_is_not_there(office: Office) -> None:
    answer = problem(office.operator.get("/v1/admin/queues/gpu/dead-letters"), 404, "not-found")
    assert "`gpu`" in answer["detail"]


def test_the_client_makes_every_call_of_operators(office: Office, api: Api, letters: Callable[..., str]) -> None:
    key = office.keys.create("", scopes=OPERATOR_SCOPES).text
    waiting, letter = api.submit(delay=3600)["id"], letters("not JSON")
    with Client(office.service.url, key) as client:
        assert api.tenant in [one["tenant"] for one in client.admin.tenants()]
        assert [one["job"]["id"] for one in client.admin.jobs(tenant=api.tenant, limit="1")] == [waiting]
        assert client.admin.job(api.tenant, waiting)["events"][0]["type"] == "job.scheduled"
        assert client.admin.cancel(api.tenant, waiting)["job"]["status"] == "canceled"
        assert client.admin.set_limits(api.tenant, jobs_running=2, submit_rate=5)["jobs_running"] == 2
        assert client.admin.change_limits(api.tenant, jobs_running=None)["submit_rate"] == 5
        assert client.admin.limits(api.tenant)["jobs_running"] is None
        assert waiting not in [one["job"]["id"] for one in client.admin.stuck_jobs(overdue="60")]
        assert {one["lane"] for one in client.admin.queues()} == office.service.settings.queues.keys()
        assert [one["message_id"] for one in client.admin.dead_letters("default")] == [letter]
        assert client.admin.redrive("default", letter) == "left"
        client.admin.discard("default", letter)
        assert list(client.admin.dead_letters("default")) == []


def test_the_command_shows_what_operators_see(
    office: Office,
    api: Api,
    letters: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COATCHECK_URL", office.service.url)
    monkeypatch.setenv("COATCHECK_OPERATOR_KEY", office.keys.create("", scopes=OPERATOR_SCOPES).text)
    waiting, letter = api.submit(delay=3600)["id"], letters("not JSON")

    def typed(*argv: str) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["admin", *argv])
        said = capfd.readouterr()
        assert not ended.value.code, said.err
        return said.out + said.err

    assert api.tenant in typed("tenants").splitlines()
    assert waiting in typed("jobs", "--tenant", api.tenant)
    assert json.loads(typed("jobs", "--tenant", api.tenant, "--json"))["job"]["id"] == waiting
    assert json.loads(typed("show", api.tenant, waiting))["tenant"] == api.tenant
    assert typed("cancel", api.tenant, waiting) == f"{waiting} is canceled\n"
    assert "WHY" in typed("jobs", "--stuck")
    assert "DEAD LETTERS" in typed("queues")
    assert letter in typed("dead-letters", "default")
    assert typed("redrive", "default", letter) == f"{letter}: left\n"
    assert typed("discard", "default", letter) == f"{letter}: discarded\n"

"""Who is let in, to what and until when, by the keys in the table. The time is an argument of the service."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.api_keys import TENANT_SCOPES, USE_NOTED_EVERY, Scope, make_key, read_key
from coatcheck.core.aws.dynamodb.key_items import get_key
from coatcheck.core.clock import HOUR, SECOND, system_clock
from coatcheck.core.settings import Settings
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from coatcheck_service.api_key_cache import TTL, UNKNOWN_TTL
from tests.aws.service.running_service import RunningService, problem, run_service
from tests.log_lines import log_lines
from tests.transports import Fault, on, throttle
from tests.waiting import eventually

NOWHERE = "/v1/jobs/job_nowhere"


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: int = field(default_factory=system_clock)

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class Doorstep:
    """The service, its owner's keys, and the clock that both go by."""

    service: RunningService
    keys: KeyStore
    clock: Clock
    http: httpx.Client
    tenant: str

    def get(self, key: str, path: str = NOWHERE) -> httpx.Response:
        """Ask with a key."""
        return self.http.get(path, headers={"Authorization": f"Bearer {key}"})

    def lets_in(self, key: str) -> bool:
        """Whether the key is taken: for a job that is not there, the answer is then 404."""
        answer = self.get(key)
        if answer.status_code == 404:
            return True
        problem(answer, 401, "unauthenticated")
        return False

    def reads(self) -> int:
        """How often the table was read since this was asked last."""
        read = sum(call.operation == "GetItem" for call in self.service.spy.calls)
        self.service.spy.calls.clear()
        return read


@pytest.fixture(scope="module")
def service_and_clock(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[tuple[RunningService, Clock]]:
    clock = Clock()
    with run_service(settings, aws, emulator_url, clock=clock) as running:
        yield running, clock


@pytest.fixture
def door(service_and_clock: tuple[RunningService, Clock], aws: Transport, tenant: str) -> Iterator[Doorstep]:
    service, clock = service_and_clock
    # what an earlier test has left in the cache is old by now
    clock.now += HOUR
    service.spy.calls.clear()
    service.spy.faults.clear()
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as http:
        yield Doorstep(service, KeyStore(aws, service.settings.table, clock), clock, http, tenant)


def test_a_new_key_lets_its_tenant_in_at_once(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant, name="ci")
    headers = {"Authorization": f"Bearer {issued.text}"}
    made = door.http.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}}, headers=headers)
    assert made.status_code == 202, made.text
    assert door.get(issued.text, f"/v1/jobs/{made.json()['id']}").status_code == 200
    other = door.keys.create(f"{door.tenant}-other")
    problem(door.get(other.text, f"/v1/jobs/{made.json()['id']}"), 404, "not-found")


def test_a_revoked_key_is_refused_within_a_minute(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant)
    assert door.lets_in(issued.text)
    door.keys.revoke(issued.key.id)
    door.clock.now += TTL
    answer = door.get(issued.text)
    assert "The API key is revoked." in problem(answer, 401, "unauthenticated")["detail"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="coatcheck"'
    assert TTL < 60 * SECOND


@pytest.mark.parametrize("stream", ["/v1/jobs/{job}/events", "/v1/events"], ids=["job", "tenant"])
def test_a_stream_ends_before_it_tells_more_to_a_key_that_was_revoked(door: Doorstep, stream: str) -> None:
    issued, other = door.keys.create(door.tenant), door.keys.create(door.tenant)
    owner = {"Authorization": f"Bearer {other.text}"}
    job = {"type": "demo.sleep", "input": {"seconds": 0}, "delay": 3600}
    job_id = door.http.post("/v1/jobs", json=job, headers=owner).json()["id"]
    path = f"/v1/jobs/{job_id}"
    headers = {"Authorization": f"Bearer {issued.text}", "Accept": "text/event-stream"}
    with door.http.stream("GET", stream.format(job=job_id), headers=headers) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("id:") for line in lines)
        door.keys.revoke(issued.key.id)
        door.clock.now += TTL
        assert door.http.post(f"{path}/cancel", headers=owner).status_code == 200
        assert not any("job.canceled" in line for line in lines)
    assert "job.canceled" in door.get(other.text, f"{path}/events").text


def test_a_key_expires_on_time_though_it_is_cached(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant, lifetime=10 * SECOND)
    assert door.lets_in(issued.text)
    door.clock.now += 10 * SECOND
    assert "The API key is expired." in problem(door.get(issued.text), 401, "unauthenticated")["detail"]


def test_a_rotated_key_works_as_long_as_both_are_meant_to(door: Doorstep) -> None:
    old = door.keys.create(door.tenant, scopes=frozenset({Scope.JOBS_READ}), name="ci")
    new = door.keys.create_successor(old.key.id)
    door.keys.end(old.key.id, after=2 * HOUR)
    assert (new.key.tenant, new.key.scopes, new.key.name) == (door.tenant, old.key.scopes, "ci")
    assert door.lets_in(old.text)
    assert door.lets_in(new.text)
    door.clock.now += 2 * HOUR
    assert not door.lets_in(old.text)
    assert door.lets_in(new.text)


def test_a_key_is_read_once_in_thirty_seconds(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant)
    # of a job that is not there one item is read, and a mark that it was deleted
    per_request = [door.lets_in(issued.text) and door.reads() for _ in range(3)]
    assert per_request[0] == per_request[1] + 1 == per_request[2] + 1
    door.clock.now += TTL
    assert door.lets_in(issued.text)
    assert door.reads() == per_request[0]


def test_the_last_use_is_written_once_an_hour_and_no_request_fails_for_it(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant)
    door.service.spy.faults.append(Fault(throttle, on("UpdateItem")))
    assert door.lets_in(issued.text)
    door.service.spy.faults.clear()
    assert door.keys.find(issued.key.id).last_used_at is None
    door.clock.now += TTL
    for passed in (0, TTL, USE_NOTED_EVERY - TTL - 1):
        door.clock.now += passed
        assert door.lets_in(issued.text)
    writes = [call for call in door.service.spy.calls if call.operation == "UpdateItem"]
    assert len(writes) == 2
    door.clock.now += 1
    assert door.lets_in(issued.text)
    assert door.keys.find(issued.key.id).last_used_at == door.clock.now


@pytest.mark.parametrize("credentials", ["", "x", "Basic abc", "a.b.c", "é" * 9, "cck_" + "0" * 26, "k" * 5000])
def test_what_cannot_be_a_key_costs_no_read_of_its_own(door: Doorstep, credentials: str) -> None:
    assert not door.lets_in("first")
    door.reads()
    answer = door.http.get(NOWHERE, headers=[(b"Authorization", f"Bearer {credentials}".strip().encode())])
    problem(answer, 401, "unauthenticated")
    assert door.reads() == 0


def test_an_unknown_id_is_read_once_in_five_seconds(door: Doorstep) -> None:
    unknown = make_key(secrets.token_bytes)
    assert [door.lets_in(unknown) for _ in range(3)] == [False] * 3
    assert door.reads() == 1
    door.clock.now += UNKNOWN_TTL
    assert not door.lets_in(unknown)
    assert door.reads() == 1


def test_the_id_of_a_key_with_another_secret_is_refused_as_if_there_were_no_such_id(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant)
    assert door.lets_in(issued.text)
    guess = issued.text[:-1] + ("0" if issued.text[-1] != "0" else "1")
    door.reads()
    wrong, unknown = (problem(door.get(key), 401, "unauthenticated") for key in (guess, make_key(secrets.token_bytes)))
    assert wrong["detail"] == unknown["detail"]
    # a guess costs nothing, and the key still works
    assert door.reads() == 1
    assert door.lets_in(issued.text)


def test_several_authorization_headers_are_refused(door: Doorstep) -> None:
    keys = [door.keys.create(tenant).text for tenant in (door.tenant, f"{door.tenant}-other")]
    answer = door.http.get(NOWHERE, headers=[("Authorization", f"Bearer {key}") for key in keys])
    assert "several" in problem(answer, 401, "unauthenticated")["detail"]
    # as a gateway joins them
    problem(door.get(f"{keys[0]}, Bearer {keys[1]}"), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        (Scope.JOBS_SUBMIT, "POST", "/v1/jobs"),
        (Scope.JOBS_SUBMIT, "POST", f"{NOWHERE}/replay"),
        (Scope.JOBS_READ, "GET", NOWHERE),
        (Scope.RESULTS_READ, "GET", f"{NOWHERE}/result"),
        (Scope.JOBS_CANCEL, "POST", f"{NOWHERE}/cancel"),
        (Scope.WEBHOOKS_MANAGE, "GET", "/v1/webhook-endpoints"),
    ],
    ids=lambda value: str(value).rpartition("/")[2],
)
def test_a_key_without_the_scope_is_told_which_it_lacks(door: Doorstep, scope: Scope, method: str, path: str) -> None:
    lacking = door.keys.create(door.tenant, scopes=frozenset(Scope) - {scope}).text
    answer = door.http.request(method, path, headers={"Authorization": f"Bearer {lacking}"})
    assert f"`{scope}`" in problem(answer, 403, "missing-scope")["detail"]
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    alone = door.keys.create(door.tenant, scopes=frozenset({scope})).text
    answer = door.http.request(method, path, headers={"Authorization": f"Bearer {alone}"})
    assert answer.status_code not in {401, 403}


def test_a_reader_sees_jobs_and_no_results_and_changes_nothing(door: Doorstep) -> None:
    owner = {"Authorization": f"Bearer {door.keys.create(door.tenant).text}"}
    made = door.http.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}}, headers=owner).json()
    path = f"/v1/jobs/{made['id']}"
    reader = door.keys.create(door.tenant, scopes=frozenset({Scope.JOBS_READ})).text
    for allowed in (path, "/v1/jobs", f"{path}/events", "/v1/job-types"):
        assert door.get(reader, allowed).status_code == 200
    headers = {"Authorization": f"Bearer {reader}"}
    for method, refused in (("GET", f"{path}/result"), ("POST", f"{path}/cancel"), ("DELETE", path)):
        problem(door.http.request(method, refused, headers=headers), 403, "missing-scope")


def test_a_key_of_the_setting_keeps_working_when_it_was_imported(door: Doorstep) -> None:
    key = f"ck_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert not door.lets_in(key)
    (imported,) = door.keys.import_keys({digest: door.tenant})
    door.clock.now += TTL
    assert door.lets_in(key)
    assert (imported.scopes, imported.tenant) == (TENANT_SCOPES, door.tenant)
    # a second import changes nothing, and it is rotated and revoked like any other
    door.keys.import_keys({digest: "another"})
    assert door.keys.find(imported.id).tenant == door.tenant
    assert door.lets_in(door.keys.create_successor(imported.id).text)
    door.keys.revoke(imported.id)
    door.clock.now += TTL
    assert not door.lets_in(key)


def test_no_line_of_the_log_holds_a_key(door: Doorstep, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "coatcheck_service")
    issued = door.keys.create(door.tenant)
    keys = (issued.text, make_key(secrets.token_bytes), "not-a-key-at-all")
    with log_lines() as lines:
        for key in keys:
            door.get(key)
        # a line follows the answer
        eventually(lambda: len(caplog.records) >= len(keys))
    raw = [lines.text(), *(f"{record.getMessage()} {vars(record)}" for record in caplog.records)]
    assert not any(key in line or read_key(key).digest.hex() in line for line in raw for key in keys)
    assert any(entry.get("key") == issued.key.id for entry in lines.entries())


def test_a_table_that_does_not_answer_is_no_refusal(door: Doorstep) -> None:
    issued = door.keys.create(door.tenant)
    door.service.spy.faults.append(Fault(throttle, on("GetItem"), times=1))
    problem(door.get(issued.text), 503, "unavailable")
    assert door.lets_in(issued.text)
    assert door.service.worker.send(get_key(door.service.settings.table, issued.key.id)) is not None

"""The limits of a tenant, as an operator sees and changes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from coatcheck.core.api_keys import OPERATOR_SCOPES, OperatorScope
from coatcheck.core.settings import Settings
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from coatcheck_worker.boto_transport import BotoTransport
from tests.aws.service.limits_harness import LimitedApi, limited_api
from tests.aws.service.running_service import problem

# both emulators keep the items alike (tests/aws/test_limit_items.py)
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}

NONE: dict[str, Any] = {
    "submit_rate": None,
    "submit_burst": None,
    "jobs_waiting": None,
    "jobs_running": None,
    "jobs_running_by_type": {},
    "priority_max": None,
    "bytes_stored": None,
    "upload_bytes_per_day": None,
    "webhook_endpoints": None,
    "webhook_tests_per_hour": None,
    "waits_per_minute": None,
}


@dataclass(frozen=True)
class Office:
    """A service, an operator who may change and one who may only see, and the URL of a tenant's limits."""

    limited: LimitedApi
    operator: httpx.Client
    reader: httpx.Client

    @property
    def url(self) -> str:
        return f"/v1/admin/tenants/{self.limited.api.tenant}/limits"

    @property
    def none(self) -> dict[str, Any]:
        return {"tenant": self.limited.api.tenant, **NONE}


@pytest.fixture
def office(emulator_url: str, settings: Settings, aws: BotoTransport) -> Iterator[Office]:
    keys = KeyStore(aws, settings.table)

    def client(url: str, scopes: frozenset[str]) -> httpx.Client:
        headers = {"Authorization": f"Bearer {keys.create('', scopes=scopes).text}"}
        return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)

    with limited_api(emulator_url, settings, aws) as limited:
        url = limited.api.running_service.url
        with client(url, OPERATOR_SCOPES) as operator, client(url, frozenset({OperatorScope.READ})) as reader:
            yield Office(limited, operator, reader)


def test_limits_are_seen_and_changed_and_hold_in_this_process_at_once(office: Office) -> None:
    tenant = office.limited.api.http
    assert tenant.post("/v1/jobs", json=JOB).status_code == 202
    assert office.reader.get(office.url).json() == office.none
    changed = office.operator.patch(office.url, json={"submit_rate": 2.5, "jobs_waiting": 0})
    assert (changed.status_code, changed.json()) == (200, office.none | {"submit_rate": 2.5, "jobs_waiting": 0})
    problem(tenant.post("/v1/jobs", json=JOB), 429, "too-many-jobs-waiting")
    changed = office.operator.patch(office.url, json={"jobs_waiting": None, "jobs_running_by_type": {"demo.sleep": 1}})
    assert changed.json() == office.none | {"submit_rate": 2.5, "jobs_running_by_type": {"demo.sleep": 1}}
    assert office.operator.put(office.url, json={"priority_max": "normal"}).json() == office.none | {
        "priority_max": "normal"
    }
    assert tenant.post("/v1/jobs", json=JOB).status_code == 202
    assert office.operator.put(office.url, json={}).json() == office.reader.get(office.url).json() == office.none


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"submit_rate": 0}, "/submit_rate"),
        ({"submit_rate": "1"}, "/submit_rate"),
        ({"jobs_running": True}, "/jobs_running"),
        ({"jobs_running_by_type": {"": 1}}, "/jobs_running_by_type"),
        ({"priority_max": "urgent"}, "/priority_max"),
        ({"webhook_endpoints": 201}, "/webhook_endpoints"),
        ({"bytes": 1}, "/bytes"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_no_limit_is_refused(office: Office, method: str, body: dict[str, Any], pointer: str) -> None:
    reply = problem(office.operator.request(method, office.url, json=body), 422, "invalid-request")
    assert [one["pointer"][: len(pointer)] for one in reply["errors"]] == [pointer]
    assert office.reader.get(office.url).json() == office.none


def test_nobody_else_changes_or_sees_them(office: Office) -> None:
    for method in ("PUT", "PATCH"):
        problem(office.reader.request(method, office.url, json={"jobs_waiting": 1}), 403, "missing-scope")
    for method in ("GET", "PUT", "PATCH"):
        for client in (office.limited.api.http, office.limited.api.anonymous):
            problem(client.request(method, office.url, json={"jobs_waiting": 1}), 401, "unauthenticated")
    problem(office.operator.get("/v1/admin/tenants/a%23b/limits"), 422, "invalid-request")
    assert office.reader.get(office.url).json() == office.none

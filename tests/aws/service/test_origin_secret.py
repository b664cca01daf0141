"""Behind CloudFront, the service answers requests that have its secret, and no others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from coatcheck_infra.local.resources import client
from coatcheck_service.http.origin_secret import HEADER
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.transports import Fault, on, throttle

# what is behind makes no difference here: one emulator is enough
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

SECRET = secrets.token_urlsafe(36)


@pytest.fixture
def guarded(settings: Settings, aws: Transport, emulator_url: str) -> Iterator[Api]:
    """A service that expects SECRET."""
    name = f"origin-{secrets.token_hex(6)}"
    client("secretsmanager", emulator_url).create_secret(Name=name, SecretString=SECRET)
    stores = settings.model_copy(update={"origin_secret": name})
    with run_service(stores, aws, emulator_url) as running, clients_of(running) as api:
        yield api


def test_a_request_by_cloudfront_is_served(guarded: Api) -> None:
    guarded.http.headers[HEADER] = SECRET
    made = guarded.submit()
    assert guarded.http.get(f"/v1/jobs/{made['id']}").json()["id"] == made["id"]
    # for all of these requests the secret was read once
    assert [call.operation for call in guarded.spy.calls if call.service == "secretsmanager"] == ["GetSecretValue"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/docs", "/openapi.json", "/nowhere", "/v1/admin/jobs", "//v1/health"])
def test_a_request_around_it_gets_403_whatever_its_key(guarded: Api, path: str) -> None:
    for headers in ({}, {HEADER: "a guess"}, {HEADER: ""}, {HEADER: SECRET[:-1]}, {HEADER: f"{SECRET}é"}):
        answer = guarded.http.get(
            path, headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), headers
        assert answer.headers["content-type"] == "application/problem+json"
        assert SECRET not in answer.text
    twice = [(HEADER, SECRET), (HEADER, SECRET)]
    assert httpx.get(guarded.url + path, headers=twice, trust_env=False).status_code == 403


def test_health_is_open_as_what_starts_the_service_asks_for_it(guarded: Api) -> None:
    assert guarded.anonymous.get("/v1/health").status_code == 200


def test_the_secret_opens_nothing_by_itself(guarded: Api) -> None:
    assert guarded.anonymous.get("/v1/jobs", headers={HEADER: SECRET}).status_code == 401


def test_while_the_secret_cannot_be_read_nobody_is_let_in(guarded: Api) -> None:
    guarded.spy.faults.append(Fault(throttle, on("GetSecretValue"), times=1))
    answer = guarded.http.get("/v1/jobs", headers={HEADER: SECRET})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert guarded.http.get("/v1/jobs", headers={HEADER: SECRET}).status_code == 200

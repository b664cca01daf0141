"""Who is let in by a token of an issuer that the owner trusts. The time is an argument of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.trust_items import get_trust_policy, put_trust_policy
from coatcheck.core.settings import Settings
from coatcheck.core.trust_policy import TrustPolicy
from coatcheck_infra.local.resources import client
from coatcheck_service.issuer_keys import FETCH_INTERVAL
from coatcheck_service.trust_cache import TTL
from tests.aws.service.running_service import RunningService, problem, run_service
from tests.aws.service.test_api_keys import Clock
from tests.oidc_issuer import AUDIENCE, KEYS, OidcIssuer, claims_of, new_rsa_key, public_keys, run_issuer, sign

NOWHERE = "/v1/jobs/job_nowhere"
KEY = new_rsa_key("first")


@dataclass(frozen=True)
class Entrance:
    """The service, the issuer that it trusts, and the clock of the service."""

    service: RunningService
    issuer: OidcIssuer
    clock: Clock
    http: httpx.Client
    tenant: str

    def trust(self, **changes: Any) -> None:
        """Make this the policy, and let the service notice."""
        rules = {"issuer": self.issuer.url, "audiences": [AUDIENCE]} | changes
        policy = TrustPolicy.parse(json.dumps({"issuers": [rules]}))
        self.service.worker.send(put_trust_policy(self.service.settings.table, policy))
        self.clock.now += TTL

    def token(self, **changes: Any) -> str:
        """A token of the test's own tenant."""
        return self.issuer.token(**{"tenant": self.tenant, "exp": self.clock.now // 1000 + 300} | changes)

    def get(self, token: str, path: str = NOWHERE) -> httpx.Response:
        """Ask with a token."""
        return self.http.get(path, headers={"Authorization": f"Bearer {token}"})

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
def entrance(service_and_clock: tuple[RunningService, Clock], tenant: str) -> Iterator[Entrance]:
    service, clock = service_and_clock
    with run_issuer(KEY) as issuer, httpx.Client(base_url=service.url, trust_env=False, timeout=60) as http:
        entrance = Entrance(service, issuer, clock, http, tenant)
        entrance.trust()
        service.spy.calls.clear()
        yield entrance
        service.worker.send(put_trust_policy(service.settings.table, TrustPolicy()))
        clock.now += TTL


def test_a_token_is_a_tenant_with_scopes(entrance: Entrance) -> None:
    token = entrance.token(scope="jobs:submit jobs:read")
    headers = {"Authorization": f"Bearer {token}"}
    made = entrance.http.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}}, headers=headers)
    assert made.status_code == 202, made.text
    path = f"/v1/jobs/{made.json()['id']}"
    assert entrance.get(token, path).status_code == 200
    problem(entrance.get(entrance.token(tenant=f"{entrance.tenant}-other"), path), 404, "not-found")
    refused = problem(entrance.get(token, f"{path}/result"), 403, "missing-scope")
    assert "`results:read`" in refused["detail"]


def test_requests_with_tokens_read_the_policy_and_the_keys_of_the_issuer_once(entrance: Entrance) -> None:
    for _ in range(5):
        assert entrance.get(entrance.token(), "/v1/job-types").status_code == 200
    assert (entrance.reads(), sum(entrance.issuer.asked.values())) == (1, 2)
    # of a key nothing changes, and nobody reads the policy for it
    entrance.get("cck_unknown")
    assert entrance.reads() == 1


@pytest.mark.parametrize(
    ("changes", "status", "code", "detail"),
    [
        ({"exp": 1}, 401, "unauthenticated", "The token has expired."),
        ({"aud": "others"}, 401, "unauthenticated", "The claim `aud` of the token is missing, or not valid here."),
        ({"iss": "https://a.example.com"}, 401, "unauthenticated", "The issuer of the token is not trusted here."),
        ({"tenant": None}, 403, "forbidden", "The token names no tenant in its claim `tenant`."),
        ({"scope": None}, 403, "missing-scope", "These credentials lack the scope `jobs:read`."),
        ({"more": "x" * 9000}, 401, "unauthenticated", "The token is longer than 8192 characters."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refusal_says_what_is_wrong(
    entrance: Entrance, changes: dict[str, Any], status: int, code: str, detail: str
) -> None:
    answer = entrance.get(entrance.token(**changes))
    assert problem(answer, status, code)["detail"] == detail
    assert ("www-authenticate" in answer.headers) == (code != "forbidden")


def test_an_algorithm_that_the_policy_does_not_name_is_refused(entrance: Entrance) -> None:
    token = sign(claims_of(entrance.issuer.url), KEY, "PS256")
    assert "not signed with RS256 or ES256" in problem(entrance.get(token), 401, "unauthenticated")["detail"]


def test_an_issuer_that_is_down_is_503_and_later_it_works(entrance: Entrance) -> None:
    entrance.issuer.status = 500
    answer = entrance.get(entrance.token())
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == str(FETCH_INTERVAL // 1000)
    entrance.issuer.status = 200
    entrance.clock.now += FETCH_INTERVAL
    problem(entrance.get(entrance.token()), 404, "not-found")


def test_a_new_key_of_the_issuer_is_found_and_a_withdrawn_one_forgotten(entrance: Entrance) -> None:
    problem(entrance.get(entrance.token()), 404, "not-found")
    second = new_rsa_key("second")
    entrance.issuer.documents[KEYS] = public_keys(second)
    rotated = sign(claims_of(entrance.issuer.url, tenant=entrance.tenant), second)
    problem(entrance.get(rotated), 401, "unauthenticated")
    entrance.clock.now += FETCH_INTERVAL
    rotated = sign(claims_of(entrance.issuer.url, exp=entrance.clock.now // 1000 + 300), second)
    problem(entrance.get(rotated), 404, "not-found")
    problem(entrance.get(entrance.token()), 401, "unauthenticated")


def test_who_is_no_longer_trusted_is_refused_within_half_a_minute(entrance: Entrance) -> None:
    problem(entrance.get(entrance.token()), 404, "not-found")
    entrance.trust(audiences=["others"])
    problem(entrance.get(entrance.token()), 401, "unauthenticated")
    entrance.service.worker.send(put_trust_policy(entrance.service.settings.table, TrustPolicy()))
    entrance.clock.now += TTL
    assert problem(entrance.get(entrance.token()), 401, "unauthenticated")["detail"] == "The API key is unknown."


def test_a_policy_of_a_newer_version_is_left_alone(entrance: Entrance) -> None:
    table, dynamodb = entrance.service.settings.table, client("dynamodb", entrance.service.endpoint_url)
    key = {"pk": {"S": "#trust"}, "sk": {"S": "policy"}}
    dynamodb.put_item(TableName=table, Item=key | {"policy": {"S": '{"of": "tomorrow"}'}})
    entrance.clock.now += TTL
    problem(entrance.get(entrance.token()), 503, "unavailable")


def test_there_is_an_empty_policy_before_there_is_one(aws: Transport, settings: Settings) -> None:
    aws.send(put_trust_policy(settings.table, TrustPolicy()))
    assert aws.send(get_trust_policy(settings.table)) == TrustPolicy()

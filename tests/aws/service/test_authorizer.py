"""The authorizer and the API say the same of the same credentials, and the API believes API Gateway's event alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import pytest

from coatcheck.core.api_keys import TENANT_SCOPES, Scope
from coatcheck.core.aws.dynamodb.trust_items import put_trust_policy
from coatcheck.core.clock import HOUR, SECOND, system_clock
from coatcheck.core.errors import ServiceError, Unauthenticated
from coatcheck.core.settings import Settings
from coatcheck.core.trust_policy import TrustPolicy
from coatcheck_infra.local import environment
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.http.authorizer import authorize
from coatcheck_service.http.gateway_identity import identify_by_gateway, read_verdict
from coatcheck_service.identity_sources import IdentitySources
from coatcheck_worker.boto_transport import BotoTransport
from tests.aws.service.lambda_process import InvokeFunction, body_of, event, lambda_process
from tests.aws.service.running_service import Api
from tests.oidc_issuer import AUDIENCE, OidcIssuer, new_rsa_key, run_issuer

ARN = "arn:aws:execute-api:us-east-1:123456789012:abc/live/GET/v1/jobs/job_1"
ROLE = "arn:aws:sts::123456789012:assumed-role/importer/i-0a1b"
KEY = new_rsa_key("first")


def asked(*authorization: str) -> dict[str, Any]:
    """What API Gateway sends an authorizer of type REQUEST."""
    return {"type": "REQUEST", "methodArn": ARN, "multiValueHeaders": {"Authorization": list(authorization)}}


def sources(settings: Settings, emulator_url: str, **more: Any) -> IdentitySources:
    session = aioboto3.Session(environment.ACCESS_KEY, environment.SECRET_KEY, region_name=environment.REGION)
    with_authorizer = settings.model_copy(update={"authorizer": "on"})
    return IdentitySources(with_authorizer, AioBotoTransport(emulator_url, session), **more)


async def decided(settings: Settings, emulator_url: str, *authorization: str) -> tuple[str, dict[str, Any]]:
    """The effect of the authorizer's answer, and what it tells the API."""
    own = sources(settings, emulator_url)
    try:
        answer = await authorize(asked(*authorization), own)
    finally:
        await own.transport.aclose()
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == "arn:aws:execute-api:us-east-1:123456789012:abc/live/*"
    assert all(isinstance(value, str | int) for value in answer["context"].values())
    return statement["Effect"], answer["context"]


@pytest.fixture
def store(aws: BotoTransport, settings: Settings) -> KeyStore:
    return KeyStore(aws, settings.table)


async def test_a_key_is_admitted_to_every_method_as_its_tenant(
    settings: Settings, emulator_url: str, store: KeyStore, tenant: str
) -> None:
    issued = store.create(tenant, scopes=frozenset({Scope.JOBS_READ, Scope.RESULTS_READ}))
    effect, said = await decided(settings, emulator_url, f"Bearer {issued.text}")
    assert effect == "Allow"
    assert said == {"tenant": tenant, "scopes": "jobs:read results:read", "key_id": issued.key.id}
    # API Gateway makes text of everything
    principal = read_verdict({name: str(value) for name, value in said.items()}, system_clock())
    assert principal is not None
    assert (principal.tenant, principal.key_id) == (tenant, issued.key.id)
    assert principal.scopes == issued.key.scopes
    assert store.find(issued.key.id).last_used_at is not None


async def test_what_is_not_valid_is_denied_in_the_words_of_the_api(
    settings: Settings, emulator_url: str, store: KeyStore, tenant: str
) -> None:
    revoked = store.create(tenant)
    store.revoke(revoked.key.id)
    expected: dict[tuple[str, ...], str] = {
        (f"Bearer {revoked.text}",): "The API key is revoked.",
        ("Bearer cck_unknown",): "The API key is unknown.",
        ("Basic YTpi",): "The `Authorization: Bearer` header with an API key or a token is missing.",
        ("Bearer",): "The `Authorization: Bearer` header with an API key or a token is missing.",
        (): "The `Authorization: Bearer` header with an API key or a token is missing.",
        (f"Bearer {revoked.text}", "Bearer b"): "There are several `Authorization` headers: send one.",
    }
    for authorization, detail in expected.items():
        assert await decided(settings, emulator_url, *authorization) == ("Deny", {"detail": detail})


async def test_a_token_ends_with_its_time_though_the_verdict_is_kept(
    settings: Settings, emulator_url: str, aws: BotoTransport, tenant: str
) -> None:
    with run_issuer(KEY) as issuer:
        trust(aws, settings, issuer)
        effect, said = await decided(settings, emulator_url, f"Bearer {issuer.token(tenant=tenant)}")
        assert effect == "Allow"
        assert read_verdict(said, system_clock()) is not None
        with pytest.raises(Unauthenticated):
            read_verdict(said, system_clock() + HOUR)
        refused = await decided(settings, emulator_url, f"Bearer {issuer.token(tenant=None)}")
    detail = "The token names no tenant in its claim `tenant`."
    assert refused == ("Allow", {"forbidden": detail})
    with pytest.raises(ServiceError, match=f"forbidden: {detail}"):
        read_verdict(refused[1], system_clock())


async def test_where_nobody_can_tell_the_authorizer_fails(
    settings: Settings, emulator_url: str, aws: BotoTransport
) -> None:
    with run_issuer(KEY) as issuer:
        issuer.status = 500
        trust(aws, settings, issuer)
        # API Gateway makes a 503 of it
        with pytest.raises(ServiceError, match="unavailable"):
            await decided(settings, emulator_url, f"Bearer {issuer.token()}")


def trust(aws: BotoTransport, settings: Settings, issuer: OidcIssuer | None = None, **policy: Any) -> None:
    issuers = [{"issuer": issuer.url, "audiences": [AUDIENCE]}] if issuer else []
    text = json.dumps({"issuers": issuers} | policy)
    aws.send(put_trust_policy(settings.table, TrustPolicy.parse(text)))


@pytest.mark.parametrize("said", [{}, None, {"tenant": ""}, {"tenant": "a/b"}, {"tenant": 7}, {"principalId": "acme"}])
async def test_without_a_verdict_the_api_looks_itself(
    settings: Settings, emulator_url: str, said: dict[str, Any] | None
) -> None:
    own = sources(settings, emulator_url)
    assert await identify_by_gateway({"requestContext": {"authorizer": said, "identity": None}}, own) is None
    assert await identify_by_gateway({}, own) is None


async def test_a_caller_inside_aws_is_the_tenant_of_its_rule(
    settings: Settings, emulator_url: str, aws: BotoTransport, tenant: str
) -> None:
    rule = {"arn": "arn:aws:iam::123456789012:role/importer", "tenant": tenant}
    trust(aws, settings, callers=[rule])
    own = sources(settings, emulator_url)
    try:
        principal = await identify_by_gateway({"requestContext": {"identity": {"userArn": ROLE}}}, own)
        assert principal is not None
        assert (principal.tenant, principal.subject) == (tenant, ROLE)
        assert principal.scopes == TENANT_SCOPES
        with pytest.raises(ServiceError, match="forbidden: The trust policy names no tenant for `arn:aws:iam::1:root`"):
            await identify_by_gateway({"requestContext": {"identity": {"userArn": "arn:aws:iam::1:root"}}}, own)
    finally:
        await own.transport.aclose()


def test_the_function_believes_the_event_and_no_header(
    api: Api, tmp_path: Path, emulator_url: str, aws: BotoTransport
) -> None:
    run = lambda_process(api, tmp_path, emulator_url)
    job = api.submit()["id"]
    said = {"tenant": api.tenant, "scopes": "jobs:read", "principalId": "x"}
    rule = {"arn": "arn:aws:iam::123456789012:role/importer", "tenant": api.tenant, "scopes": ["jobs:read"]}
    trust(aws, api.running_service.settings, callers=[rule])

    def get(*, authorization: str | None = None, identity: Any = None, verdict: Any = None, path: str = "") -> Any:
        made = event(api, "GET", f"/v1/jobs/{{job_id}}{path}", job_id=job)
        forged = {"X-Amzn-Authorizer": json.dumps(said), "X-Authorizer-Tenant": api.tenant, "userArn": ROLE}
        headers = {**made["headers"], **forged, "Authorization": authorization}
        made["headers"] = {name: value for name, value in headers.items() if value is not None}
        made["multiValueHeaders"] = {name: [value] for name, value in made["headers"].items()}
        made["requestContext"]["identity"] = identity or {"userArn": None, "sourceIp": "192.0.2.1"}
        return {**made, "requestContext": {**made["requestContext"], "authorizer": verdict}}

    expired = said | {"expires_at": str(system_clock() - SECOND)}
    requests = [
        get(authorization="Bearer checked-before", verdict=said),
        get(verdict=said, path="/result"),
        get(verdict=said | {"tenant": "other"}),
        get(verdict=expired),
        get(verdict={"forbidden": "No."}),
        get(),
        get(authorization="Bearer wrong"),
        get(authorization="AWS4-HMAC-SHA256 Credential=x", identity={"userArn": ROLE}),
        get(identity={"userArn": "arn:aws:sts::123456789012:assumed-role/other/importer"}),
    ]
    assert statuses(run, *requests, COATCHECK_AUTHORIZER="on") == [200, 403, 404, 401, 403, 401, 401, 200, 403]
    # without an authorizer a verdict says nothing
    assert statuses(run, get(verdict=said), get(verdict=said, authorization="Bearer wrong")) == [401, 401]


def statuses(run: InvokeFunction, *requests: dict[str, Any], **settings: str) -> list[int]:
    answers = run(*requests, **settings)
    assert all(body_of(answer) for answer in answers)
    return [answer["statusCode"] for answer in answers]


def function_url_event(method: str, path: str, authorization: str | None, **context: Any) -> dict[str, Any]:
    """What a function URL sends: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    headers = {"host": "abc.lambda-url.us-east-1.on.aws", "x-forwarded-proto": "https"}
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers | ({"authorization": authorization} if authorization else {}),
        "requestContext": {"requestId": "the-request-id", "http": http, "stage": "$default", **context},
        "isBase64Encoded": False,
    }


def test_behind_a_function_url_the_api_checks_all_itself(
    api: Api, tmp_path: Path, emulator_url: str, aws: BotoTransport
) -> None:
    run = lambda_process(api, tmp_path, emulator_url)
    path = f"/v1/jobs/{api.submit()['id']}"
    key = api.http.headers["authorization"]
    rule = {"arn": "arn:aws:iam::123456789012:role/importer", "tenant": api.tenant, "scopes": ["jobs:read"]}
    trust(aws, api.running_service.settings, callers=[rule])
    requests = [
        function_url_event("GET", path, key),
        function_url_event("GET", path, None),
        function_url_event("GET", path, "Bearer wrong"),
        function_url_event("GET", path, None, authorizer={"iam": {"userArn": ROLE}}),
        function_url_event("GET", path, None, authorizer={"iam": "x", "tenant": api.tenant}),
        function_url_event("GET", path, None, authorizer={"iam": {"userArn": None}}),
        function_url_event("GET", "/v1/nowhere", key),
    ]
    assert statuses(run, *requests) == [200, 401, 401, 200, 401, 401, 404]
    (root,) = run(function_url_event("GET", "/", None))
    assert root["headers"]["location"] == "https://abc.lambda-url.us-east-1.on.aws/docs"

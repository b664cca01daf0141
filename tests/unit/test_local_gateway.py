"""The front door of `coatcheck up --whole`, and what API Gateway says by itself."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from coatcheck_infra.local.api_gateway_proxy import end_to_end_headers, gateway_response_kind
from coatcheck_infra.local.gateway_responses import (
    DEFAULT_RESPONSES,
    gateway_response,
    read_custom_responses,
    remap_headers,
    unknown_route_kind,
)
from coatcheck_infra.local.request_validator import RequestValidator, methods_with_credentials
from coatcheck_infra.project.config import ApiConfig
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.template import read_template


def template(*, authorizer: bool = True) -> dict[str, Any]:
    return render_api(read_template(), ApiConfig(authorizer=authorizer))


@pytest.mark.parametrize("kind", DEFAULT_RESPONSES)
def test_the_gateway_answers_in_the_words_of_the_template(kind: str) -> None:
    answer = gateway_response(kind, read_custom_responses(template()), "req-1")
    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers)
    problem = json.loads(bytes(answer.body))
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == "req-1"


def test_the_gateway_answers_in_its_own_words_where_there_are_none() -> None:
    answer = gateway_response("INTEGRATION_TIMEOUT", {}, "req-1")
    assert (answer.status_code, json.loads(bytes(answer.body))) == (504, {"message": "Endpoint request timed out"})


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (403, {"x-amzn-errortype": "MissingAuthenticationTokenException"}, "MISSING_AUTHENTICATION_TOKEN"),
        (403, {"x-amzn-errortype": "InvalidSignatureException"}, "INVALID_SIGNATURE"),
        (403, {"x-amzn-errortype": "UnrecognizedClientException"}, "DEFAULT_4XX"),
        (401, {"x-amzn-errortype": "UnauthorizedException"}, "UNAUTHORIZED"),
        (403, {"x-amzn-errortype": "AccessDeniedException"}, "ACCESS_DENIED"),
        (500, {"x-amzn-errortype": "AuthorizerConfigurationException"}, "DEFAULT_5XX"),
        (502, {}, "DEFAULT_5XX"),
        (403, {}, None),
        (503, {}, None),
        (200, {}, None),
    ],
)
def test_the_door_knows_what_the_service_did_not_say(status: int, headers: dict[str, str], kind: str | None) -> None:
    assert gateway_response_kind(httpx.Response(status, headers=headers), None) == kind


@pytest.mark.parametrize(
    ("authorization", "kind", "error"),
    [
        (None, "MISSING_AUTHENTICATION_TOKEN", "MissingAuthenticationTokenException"),
        ("Bearer a.b.c", "DEFAULT_4XX", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 Credential=…", "INVALID_SIGNATURE", "InvalidSignatureException"),
    ],
)
def test_a_token_on_the_way_to_nowhere_is_a_broken_signature(authorization: str | None, kind: str, error: str) -> None:
    nowhere = httpx.Response(403, headers={"x-amzn-errortype": "MissingAuthenticationTokenException"})
    assert gateway_response_kind(nowhere, authorization) == unknown_route_kind(authorization) == kind
    unworded = gateway_response(kind, {}, "req-1")
    assert (unworded.status_code, unworded.headers["x-amzn-errortype"]) == (403, error)
    worded = gateway_response(kind, read_custom_responses(read_template()), "req-1")
    assert (worded.status_code, json.loads(bytes(worded.body))["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "authorization", "refused"),
    [
        ("GET", "/v1/jobs", None, True),
        ("GET", "/v1/jobs", "", True),
        ("GET", "/v1/jobs", " ", True),
        ("GET", "/v1/jobs", "Bearer x", False),
        ("HEAD", "/v1/jobs/job_1", None, True),
        ("POST", "/v1/jobs/job_1/cancel", None, True),
        ("OPTIONS", "/v1/jobs", None, False),
        ("GET", "/v1/health", None, False),
        ("GET", "/docs", None, False),
        ("PUT", "/v1/jobs", None, False),
        ("GET", "/v1/jobs/a/b/c/d", None, False),
    ],
)
def test_a_request_without_credentials_goes_no_further(
    method: str, path: str, authorization: str | None, *, refused: bool
) -> None:
    for authorizer, kind in ((False, "BAD_REQUEST_PARAMETERS"), (True, "UNAUTHORIZED")):
        validator = RequestValidator(methods_with_credentials(template(authorizer=authorizer)))
        assert validator.refusal(method, path, authorization) == (kind if refused else None)


def test_what_has_no_words_of_its_own_has_those_of_its_class() -> None:
    worded = {
        kind: words for kind, words in read_custom_responses(read_template()).items() if kind.startswith("DEFAULT_")
    }
    assert json.loads(bytes(gateway_response("INVALID_SIGNATURE", worded, "r").body))["code"] == "not-found"
    assert json.loads(bytes(gateway_response("INTEGRATION_TIMEOUT", worded, "r").body))["code"] == "unavailable"


def test_the_service_may_not_ask_for_credentials_in_its_own_words() -> None:
    answered = [(b"www-authenticate", b"Bearer"), (b"etag", b"1")]
    assert remap_headers(answered) == [(b"x-amzn-remapped-www-authenticate", b"Bearer"), (b"etag", b"1")]


def test_the_door_keeps_repeated_headers_and_drops_those_of_one_hop() -> None:
    headers = [(b"Link", b"1"), (b"Connection", b"close"), (b"link", b"2"), (b"Date", b"now"), (b"ETag", b"3")]
    assert end_to_end_headers(headers) == [(b"link", b"1"), (b"link", b"2"), (b"etag", b"3")]

"""What a front door does before and after the service, API Gateway above all: `up --whole` does as AWS does."""

from __future__ import annotations

import re

import pytest

from tests.journeys.results import DOOR
from tests.journeys.up_process import Stack


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("signed", ["", "Bearer a.b.c", "AWS4-HMAC-SHA256 Credential=x"])
def test_nowhere_is_a_404_whatever_header_comes_along(full_stack: Stack, method: str, signed: str) -> None:
    with full_stack.client() as client:
        client.headers.pop("authorization")
        answer = client.request(method, "/v1/nowhere", headers={"Authorization": signed} if signed else {})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert method == "HEAD" or answer.json()["code"] == "not-found"


def test_head_and_options_reach_the_service_and_other_methods_are_refused(full_stack: Stack) -> None:
    with full_stack.client() as client:
        whole = client.get("/v1/job-types")
        head, options, put = (client.request(method, "/v1/job-types") for method in ("HEAD", "OPTIONS", "PUT"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    assert (options.status_code, options.headers["allow"]) == (405, "GET, HEAD")
    # API Gateway knows the methods of a path, and has no answer but 404 for others
    assert (put.status_code, put.json()["code"]) == (
        (404, "not-found") if DOOR == "rest" else (405, "method-not-allowed")
    )


def test_the_root_leads_to_a_page_that_finds_its_files(full_stack: Stack) -> None:
    with full_stack.client() as client:
        led = client.get("/", follow_redirects=True)
        assert (led.status_code, led.url.path, led.headers["content-type"]) == (
            200,
            "/docs",
            "text/html; charset=utf-8",
        )
        for address in re.findall(r'(?:href|src)="([^"]+)"', led.text):
            answer = client.get(led.url.join(address))
            assert (answer.status_code, len(answer.content) > 100) == (200, True), address


@pytest.mark.skipif(DOOR != "rest", reason="what API Gateway does, no other door does")
def test_api_gateway_renames_what_a_401_asks_for(full_stack: Stack, stack: Stack) -> None:
    names = []
    for front_door in (stack, full_stack):
        with front_door.client() as client:
            answer = client.get("/v1/jobs", headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        names.append({name for name in answer.headers if name.endswith("www-authenticate")})
    assert names == [{"www-authenticate"}, {"x-amzn-remapped-www-authenticate"}]

"""The Lambda handler behind each of its front doors: what differs at the door, and that nothing else does."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from coatcheck.core.aws import s3_keys
from coatcheck.core.job import Blob
from coatcheck_service.front_door import ALB, MIB
from tests.aws.service.lambda_process import InvokeFunction
from tests.aws.service.running_service import Api
from tests.front_doors import DOORS, HOSTS, RECORDED, door_event

# a door makes no difference to what is behind: one emulator is enough
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

JOB = json.dumps({"type": "demo.sleep", "input": {"seconds": 0}}).encode()
PUBLIC = {"COATCHECK_PUBLIC_URL": "https://jobs.example.com"}
ORIGIN = "https://app.example.com"


def body_of(answer: dict[str, Any]) -> bytes:
    """The bytes that a door sends on."""
    return base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()


def headers_of(answer: dict[str, Any]) -> dict[str, str]:
    """The headers that a door sends on, of which none is there twice."""
    several = {name: value for name, (value,) in (answer.get("multiValueHeaders") or {}).items()}
    return several | (answer.get("headers") or {})


def key_of(api: Api) -> str:
    return str(api.http.headers["authorization"])


def test_recorded_events_are_served(invoke: InvokeFunction) -> None:
    events = copy.deepcopy(list(RECORDED.values()))
    answers = invoke(*events)
    assert {name: answer["statusCode"] for name, answer in zip(RECORDED, answers, strict=True)} == dict.fromkeys(
        RECORDED, 200
    )
    assert [json.loads(body_of(answer)) for answer in answers] == [{"status": "ok"}] * len(events)


def test_a_load_balancer_gets_headers_in_the_form_that_it_asks_for(invoke: InvokeFunction) -> None:
    several, one = invoke(RECORDED["alb"], RECORDED["alb-single-value"])
    assert "headers" not in several
    assert "multiValueHeaders" not in one


def test_a_job_is_submitted_and_seen_through_each_door(invoke: InvokeFunction, api: Api) -> None:
    job, key = f"/v1/jobs/{api.submit()['id']}", key_of(api)

    def requests(door: str) -> list[dict[str, Any]]:
        submit = door_event(door, "POST", "/v1/jobs", body=JOB, authorization=key, idempotency_key=door)
        look = door_event(door, "GET", job, resource="/v1/jobs/{job_id}", authorization=key)
        listed = door_event(door, "GET", "/v1/jobs", query="type=demo%2Esleep&limit=1", authorization=key)
        wrong = door_event(door, "GET", "/v1/jobs", query="query=a%20b", authorization=key)
        route, path = "/v1/jobs/{job_id}/events", f"{job}/events"
        stream = door_event(door, "GET", path, resource=route, accept="text/event-stream", authorization=key)
        return [submit, submit, look, listed, wrong, stream]

    answers = iter(invoke(*(event for door in DOORS for event in requests(door))))
    for door in DOORS:
        made, again, seen, listed, wrong, stream = (next(answers) for _ in range(6))
        assert [one["statusCode"] for one in (made, again, seen, listed, wrong)] == [202, 202, 200, 200, 422], door
        assert headers_of(again)["idempotent-replayed"] == "true"
        base = f"https://{HOSTS[door.removesuffix('-single-value')]}{'/live' if door == 'rest' else ''}"
        assert headers_of(made)["location"].startswith(f"{base}/v1/jobs/job_")
        assert len(json.loads(body_of(listed))["data"]) == 1
        # all of them send answers in one piece
        assert (stream["statusCode"], headers_of(stream)["event-stream"]) == (200, "unavailable")
        assert json.loads(body_of(stream))["data"][0]["type"] == "job.queued"


def test_links_are_made_of_the_public_url_whatever_host_a_load_balancer_lets_in(
    invoke: InvokeFunction, api: Api
) -> None:
    event = door_event("alb", "POST", "/v1/jobs", body=JOB, authorization=key_of(api))
    event["multiValueHeaders"]["host"] = ["evil.test"]
    event["multiValueHeaders"]["x-forwarded-proto"] = ["http"]
    (made,) = invoke(event, **PUBLIC)
    assert headers_of(made)["location"].startswith("https://jobs.example.com/v1/jobs/job_")
    assert b"evil.test" not in body_of(made)


def test_what_a_load_balancer_says_of_a_user_lets_nobody_in(invoke: InvokeFunction, api: Api) -> None:
    said = {"x-amzn-oidc-identity": "alpha", "x-amzn-oidc-data": "e30.e30.x", "x-amzn-oidc-accesstoken": "x"}
    event = door_event("alb", "GET", "/v1/jobs")
    event["multiValueHeaders"] |= {name: [value] for name, value in said.items()}
    event["requestContext"] |= {"identity": {"userArn": "arn:aws:iam::1:role/x"}, "authorizer": {"tenant": "alpha"}}
    twice = door_event("alb", "GET", "/v1/jobs", authorization=key_of(api))
    twice["multiValueHeaders"]["authorization"] *= 2
    answers = invoke(event, twice, COATCHECK_AUTHORIZER="on")
    assert [answer["statusCode"] for answer in answers] == [401, 401]


def test_a_body_is_refused_by_the_limit_of_its_door(invoke: InvokeFunction, api: Api) -> None:
    body = json.dumps({"type": "demo.sleep", "input": {"seconds": "x" * MIB}}).encode()
    events = [door_event(door, "POST", "/v1/jobs", body=body, authorization=key_of(api)) for door in DOORS]
    rest, url, *load_balancer = invoke(*events, COATCHECK_MAX_JSON_BYTES=str(4 * MIB))
    assert (rest["statusCode"], url["statusCode"]) == (422, 422)
    for answer in load_balancer:
        assert answer["statusCode"] == 413
        assert "1,048,576 bytes at most" in json.loads(body_of(answer))["detail"]


def test_a_result_that_a_load_balancer_cannot_carry_is_a_link_there_and_bytes_elsewhere(
    invoke: InvokeFunction, api: Api
) -> None:
    def result(size: int) -> str:
        job = api.claim(api.submit()["id"])
        api.put(s3_keys.result_key(job), b'"' * size)
        return f"/v1/jobs/{api.settle(job, result=Blob(size, bytes(32), 'text/plain')).id}/result"

    fits, exceeds = result(ALB.inline_limit), result(ALB.inline_limit + 1)

    def get(door: str, path: str) -> dict[str, Any]:
        return door_event(door, "GET", path, resource="/v1/jobs/{job_id}/result", authorization=key_of(api))

    whole, link, elsewhere = invoke(get("alb", fits), get("alb", exceeds), get("function-url", exceeds))
    assert [answer["statusCode"] for answer in (whole, link, elsewhere)] == [200, 303, 200]
    assert len(json.dumps(whole)) < MIB
    assert len(body_of(elsewhere)) == ALB.inline_limit + 1
    assert api.anonymous.get(headers_of(link)["location"]).content == body_of(elsewhere)


def preflight(door: str, origin: str) -> dict[str, Any]:
    return door_event(
        door,
        "OPTIONS",
        "/v1/jobs",
        origin=origin,
        access_control_request_method="POST",
        access_control_request_headers="authorization,prefer",
    )


def test_head_and_options_are_the_same_at_each_door(invoke: InvokeFunction, api: Api) -> None:
    answers = iter(
        invoke(
            *(
                door_event(door, method, "/v1/job-types", authorization=key_of(api))
                for door in DOORS
                for method in ("GET", "HEAD", "OPTIONS")
            )
        )
    )
    for _ in DOORS:
        get, head, options = next(answers), next(answers), next(answers)
        assert (head["statusCode"], body_of(head)) == (200, b"")
        assert headers_of(head)["content-length"] == str(len(body_of(get)))
        assert (options["statusCode"], headers_of(options)["allow"]) == (405, "GET, HEAD")


def test_pages_of_a_named_origin_may_call_and_read_errors(invoke: InvokeFunction, api: Api) -> None:
    def requests(door: str) -> list[dict[str, Any]]:
        submit = door_event(door, "POST", "/v1/jobs", body=JOB, authorization=key_of(api), origin=ORIGIN)
        stranger = door_event(door, "POST", "/v1/jobs", body=JOB, origin=ORIGIN)
        return [preflight(door, ORIGIN), submit, stranger, preflight(door, "https://evil.test")]

    events = [event for door in DOORS for event in requests(door)]
    answers = iter(invoke(*events, COATCHECK_CORS_ORIGINS=f"https://other.example.com,{ORIGIN}"))
    for _ in DOORS:
        asked, made, refused, foreign = (next(answers) for _ in range(4))
        assert (asked["statusCode"], made["statusCode"], refused["statusCode"]) == (200, 202, 401)
        for answer in (asked, made, refused):
            assert headers_of(answer)["access-control-allow-origin"] == ORIGIN
        assert "POST" in headers_of(asked)["access-control-allow-methods"]
        assert "Location" in headers_of(made)["access-control-expose-headers"]
        assert "access-control-allow-origin" not in headers_of(foreign)


def test_no_origin_may_call_unless_it_is_named(invoke: InvokeFunction, api: Api) -> None:
    def requests(door: str) -> list[dict[str, Any]]:
        submit = door_event(door, "POST", "/v1/jobs", body=JOB, authorization=key_of(api), origin=ORIGIN)
        return [preflight(door, ORIGIN), submit]

    answers = invoke(*(event for door in DOORS for event in requests(door)))
    assert [answer["statusCode"] for answer in answers] == [405, 202] * len(DOORS)
    for answer in answers:
        assert not [name for name in headers_of(answer) if name.startswith("access-control")]

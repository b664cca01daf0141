"""What a submit refuses, hostile bodies among it: always a problem, never an error of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from coatcheck_service.front_door import UVICORN
from tests.aws.service.running_service import Api, clients_of, problem, run_service

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": {"seconds": "5"}}, "/input/seconds"),
    ({"input": {"seconds": -1}}, "/input/seconds"),
    ({"input": {"seconds": 1, "moon": 1}}, "/input/moon"),
    ({"input": {}}, "/input/seconds"),
    ({"input": None}, "/input"),
    ({"input": [1]}, "/input"),
    ({"type": "demo.snooze"}, "/type"),
    ({"type": 5}, "/type"),
    ({"type": ""}, "/type"),
    ({"colour": "red"}, "/colour"),
    ({"timeout": 7201}, "/timeout"),
    ({"timeout": 0}, "/timeout"),
    ({"timeout": True}, "/timeout"),
    ({"max_attempts": 6}, "/max_attempts"),
    ({"max_attempts": 0}, "/max_attempts"),
    ({"max_attempts": 1.5}, "/max_attempts"),
    ({"retention": 31 * 86_400}, "/retention"),
    ({"retention": 0}, "/retention"),
    ({"retention": 10**30}, "/retention"),
    ({"metadata": {str(n): "" for n in range(17)}}, "/metadata"),
    ({"metadata": {"": "x"}}, "/metadata/"),
    ({"metadata": {"k" * 41: "x"}}, f"/metadata/{'k' * 41}"),
    ({"metadata": {"k": "x" * 501}}, "/metadata/k"),
    ({"metadata": {"a/b~c": 1}}, "/metadata/a~1b~0c"),
    ({"delay": -1}, "/delay"),
    ({"delay": 366 * 86_400 + 1}, "/delay"),
    ({"delay": 5, "run_at": "2030-01-01T00:00:00Z"}, "/delay"),
    ({"run_at": "2099-01-01T00:00:00Z"}, "/run_at"),
    ({"run_at": "2030-01-01T00:00:00"}, "/run_at"),
    ({"run_at": "2030-02-30T00:00:00Z"}, "/run_at"),
    ({"run_at": "1700000000"}, "/run_at"),
    ({"run_at": 1700000000}, "/run_at"),
    ({"queue_ttl": 0}, "/queue_ttl"),
    ({"webhook": "https://example.com/hook"}, "/webhook"),
    ({"webhook": {}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.com/", "events": []}}, "/webhook/events"),
    ({"webhook": {"url": "https://example.com/", "events": ["job.done"]}}, "/webhook/events/0"),
    ({"webhook": {"url": "https://example.com/", "secret": "s"}}, "/webhook/secret"),
    ({"webhook": {"url": "https://127.0.0.1/"}}, "/webhook/url"),
    ({"webhook": {"url": "http://example.com/"}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.com/" + "x" * 2048}}, "/webhook/url"),
]


@pytest.mark.parametrize(("body", "pointer"), REFUSED, ids=[json.dumps(body)[:50] for body, _ in REFUSED])
def test_what_does_not_fit_is_refused_with_its_place(api: Api, body: dict[str, Any], pointer: str) -> None:
    reply = problem(api.post(**body), 422, "invalid-request")
    assert pointer in [error["pointer"] for error in reply["errors"]]
    assert api.spy.calls == []


def test_an_error_does_not_repeat_what_was_sent(api: Api) -> None:
    answer = api.post(input={"seconds": "my secret"}, metadata={"k": "my secret" * 100})
    problem(answer, 422, "invalid-request")
    assert "secret" not in answer.text


HOSTILE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "a word": (b"hello", 400),
    "cut off": (b'{"type": "demo.sleep"', 400),
    "a list": (b"[]", 422),
    "a text": (b'"demo.sleep"', 422),
    "null": (b"null", 422),
    "deep lists": (b'{"type":"demo.sleep","input":' + b"[" * 40_000, 400),
    "deep lists, closed": (b'{"type":"demo.sleep","input":' + b"[" * 40_000 + b"]" * 40_000 + b"}", 400),
    "deep objects": (b'{"input":' * 20_000, 400),
    "very deep lists": (b'{"type":"demo.sleep","input":' + b"[" * 100_000, 413),
    "very deep objects": (b'{"input":' * 100_000, 413),
    "a lone surrogate": (b'{"type":"\\ud800","input":{}}', 400),
    "a lone surrogate as a name": (b'{"type":"demo.sleep","input":{"\\udfff":1}}', 400),
    "NaN": (b'{"type":"demo.sleep","input":{"seconds":NaN}}', 400),
    "NaN in labels": (b'{"type":"demo.sleep","input":{"seconds":0},"delay":NaN}', 422),
    "Infinity": (b'{"type":"demo.sleep","input":{"seconds":Infinity}}', 400),
    "1e999": (b'{"type":"demo.sleep","input":{"seconds":1e999}}', 400),
    "minus 1e999": (b'{"type":"demo.sleep","input":{"seconds":0},"delay":-1e999}', 422),
    "a huge integer": (b'{"type":"demo.sleep","input":{"seconds":' + b"9" * 400 + b"}}", 400),
    "a monstrous integer": (b'{"type":"demo.sleep","input":{"seconds":' + b"9" * 100_000 + b"}}", 400),
    "a huge retention": (b'{"type":"demo.sleep","input":{"seconds":0},"retention":' + b"9" * 4000 + b"}", 400),
    "a doubled name": (b'{"type":"demo.sleep","type":"demo.sleep","input":{"seconds":0}}', 400),
    "a doubled name inside": (b'{"type":"demo.sleep","input":{"seconds":0,"seconds":0}}', 400),
    "a byte order mark": (b'\xef\xbb\xbf{"type":"demo.sleep","input":{"seconds":0}}', 400),
    "UTF-16": ('{"type":"demo.sleep","input":{"seconds":0}}'.encode("utf-16"), 400),
    "not UTF-8": (b'{"type":"demo.sleep","input":{"seconds":0},"metadata":{"k":"\xff"}}', 400),
    "two documents": (b'{"type":"demo.sleep","input":{"seconds":0}}{}', 400),
    "a comment": (b'{"type":"demo.sleep" /* x */,"input":{"seconds":0}}', 400),
    "a long name": (b'{"' + b"k" * 1_000_000 + b'":1}', 422),
    "many unknown names": (b"{" + b",".join(b'"k%d":1' % n for n in range(24_000)) + b"}", 422),
    "too many unknown names": (b"{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}", 413),
    "too many names and values within texts": (b'{"type":"' + b',:[{\\"' * 50_000 + b'"}', 422),
    "too many quotes": (b'{"type":["' + b'","' * 60_000 + b'"]}', 413),
    "NUL bytes": (b"\0" * 1000, 400),
}


CODES = {400: "malformed-json", 413: "payload-too-large", 422: "invalid-request"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_problems(api: Api, name: str) -> None:
    body, status = HOSTILE[name]
    answer = api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    problem(answer, status, CODES[status])
    assert len(answer.content) < 20_000
    assert api.spy.calls == []


def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    body = b'{"type":"demo.sleep","input":"' + b"x" * 20_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    reply = problem(api.http.post("/v1/jobs", content=body, headers=headers), 413, "payload-too-large")
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    assert problem(api.http.post("/v1/jobs", content=pieces, headers=headers), 413, "payload-too-large")
    assert reply["detail"] == "A body may have 1,048,576 bytes at most here: send what is larger as an upload."
    edge = b'{"type":"demo.sleep","input":"' + b"x" * (1024**2 - 32) + b'"}'
    problem(api.http.post("/v1/jobs", content=edge, headers=headers), 422, "invalid-request")
    problem(api.http.post("/v1/jobs", content=edge + b" ", headers=headers), 413, "payload-too-large")


def test_the_limit_that_is_told_is_the_one_that_holds(settings: Settings, aws: Transport, emulator_url: str) -> None:
    changed = settings.model_copy(update={"max_json_bytes": 100_000})
    narrow = replace(UVICORN, max_body=70_000)
    for front_door, limit in ((UVICORN, 100_000), (narrow, 70_000)):
        with (
            run_service(changed, aws, emulator_url, front_door=front_door) as running_service,
            clients_of(running_service) as api,
        ):
            answer = api.post(input={"seconds": "x" * limit})
            assert f"{limit:,} bytes" in problem(answer, 413, "payload-too-large")["detail"]
            problem(api.post(input={"seconds": "x" * (limit - 100)}), 422, "invalid-request")


def test_flaws_are_counted_where_they_are_too_many(api: Api) -> None:
    reply = problem(api.post(None, **{f"k{n}": 1 for n in range(6000)}), 422, "invalid-request")
    assert reply["errors"] == [{"pointer": "", "detail": "has 6,000 errors, too many to list"}]
    assert len(problem(api.post(None, **{f"k{n}": 1 for n in range(60)}), 422, "invalid-request")["errors"]) == 20


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": ""},
        {"Content-Type": 'application/json; profile="x'},
        {"Content-Type": "application/json; charset=utf-8; charset=utf-16"},
        {"Content-Type": 'application/json;profile=x; Charset="LATIN-1"'},
        {"Content-Type": "application/json, application/json"},
        {"Content-Type": "application/json; a=b c=d"},
    ],
)
def test_other_formats_are_415(api: Api, headers: dict[str, str]) -> None:
    body = b'{"type":"demo.sleep","input":{"seconds":0}}'
    problem(api.http.post("/v1/jobs", content=body, headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; profile=x",
        'application/json; profile="https://example.com/a;charset=b, \\"c\\""',
        'Application/JSON ;Charset="UTF-8" ; version=1',
        "application/json;charset=utf8;",
        "application/json;;",
    ],
)
def test_json_with_parameters_is_json(api: Api, content_type: str) -> None:
    body = b'{"type":"demo.sleep","input":{"seconds":0}}'
    assert api.http.post("/v1/jobs", content=body, headers={"Content-Type": content_type}).status_code == 202


@pytest.mark.parametrize("host", ["x y", "[", "é", "a" * 5000, "x/../y", "", "evil.example:99999999"])
def test_a_strange_host_is_no_error_of_ours(api: Api, host: str) -> None:
    for method, path in (("GET", "/v1/jobs/job_none"), ("POST", "/v1/jobs"), ("GET", "/docs")):
        answer = api.http.request(method, path, json=JOB, headers={b"Host": host.encode("latin-1")})
        assert answer.status_code < 500, answer.text

"""The Lambda handler, in a process of its own, given the events that API Gateway sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coatcheck.core.aws import s3_keys
from coatcheck.core.job import Blob
from coatcheck_infra.local import environment
from coatcheck_service.front_door import LAMBDA
from tests.aws.service.lambda_process import InvokeFunction, body_of, event
from tests.aws.service.running_service import Api

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}


def test_requests_are_served_one_after_the_other(invoke: InvokeFunction, api: Api) -> None:
    submit = event(api, "POST", "/v1/jobs", body=JOB)
    docs = event(api, "GET", "/openapi.json")
    health = event(api, "GET", "/v1/health")
    first, second, opened, healthy = invoke(submit, submit, docs, health)
    view = json.loads(body_of(first))
    assert (first["statusCode"], second["statusCode"], opened["statusCode"], healthy["statusCode"]) == (
        202,
        202,
        200,
        200,
    )
    assert first["headers"]["location"] == f"https://abc.execute-api.us-east-1.amazonaws.com/live/v1/jobs/{view['id']}"
    assert first["headers"]["x-request-id"] == "the-request-id"
    assert view["id"] != json.loads(body_of(second))["id"]
    assert json.loads(body_of(opened))["servers"] == [{"url": "/live"}]
    assert len(api.messages()) == 2


@pytest.mark.parametrize(
    ("above", "variables", "location"),
    [
        ("", {}, "https://abc.execute-api.us-east-1.amazonaws.com"),
        ("/jobs/api", {}, "https://abc.execute-api.us-east-1.amazonaws.com/jobs/api"),
        ("/live", {"COATCHECK_PUBLIC_URL": "https://jobs.example.com"}, "https://jobs.example.com"),
        ("/live", {"COATCHECK_PUBLIC_URL": "https://example.com/jobs"}, "https://example.com/jobs"),
    ],
)
def test_links_lead_back(
    invoke: InvokeFunction, api: Api, above: str, variables: dict[str, str], location: str
) -> None:
    submit = event(api, "POST", "/v1/jobs", body=JOB, above=above)
    # behind a base path of a custom domain name, API Gateway leaves it in `path` as well
    submit["path"] = (above if above == "/jobs/api" else "") + submit["path"]
    (answer,) = invoke(submit, **variables)
    assert answer["headers"]["location"].startswith(f"{location}/v1/jobs/job_")


@pytest.mark.parametrize("path", ["/live/", "/live", "/jobs/api", "/"])
def test_the_root_leads_to_the_page_and_the_page_to_its_files(invoke: InvokeFunction, api: Api, path: str) -> None:
    root = event(api, "GET", "/")
    root["requestContext"]["path"] = root["path"] = path
    docs, script = event(api, "GET", "/docs"), event(api, "GET", "/docs/{asset}", asset="swagger-ui-bundle.js")
    led, page, loaded = invoke(root, docs, script)
    base = f"https://abc.execute-api.us-east-1.amazonaws.com{path.rstrip('/')}"
    assert (led["statusCode"], led["headers"]["location"]) == (303, f"{base}/docs")
    assert b'src="docs/swagger-ui-bundle.js' in body_of(page)
    assert (loaded["statusCode"], loaded["headers"]["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert b"SwaggerUIBundle" in body_of(loaded)
    assert len(json.dumps(loaded)) < 6 * 1024**2


def test_results_of_any_type_travel_in_base64_up_to_what_lambda_carries(invoke: InvokeFunction, api: Api) -> None:
    sizes = (LAMBDA.inline_limit, LAMBDA.inline_limit + 1)
    jobs = []
    for size in sizes:
        job = api.claim(api.submit()["id"])
        api.put(s3_keys.result_key(job), b'"' * size)
        jobs.append(api.settle(job, result=Blob(size, b"\0" * 32, "text/plain")))
    events = [event(api, "GET", "/v1/jobs/{job_id}/result", job_id=job.id) for job in (jobs[0], *jobs)]
    events[0]["multiValueHeaders"]["Range"] = ["bytes=9-11"]
    events[0]["headers"]["Range"] = "bytes=9-11"
    piece, whole, redirect = invoke(*events)
    assert (piece["statusCode"], body_of(piece)) == (206, b'"""')
    assert piece["headers"]["content-range"] == f"bytes 9-11/{sizes[0]}"
    assert (whole["statusCode"], redirect["statusCode"]) == (200, 303)
    assert len(body_of(whole)) == sizes[0]
    assert len(json.dumps(whole)) < 6 * 1024**2
    assert api.anonymous.get(redirect["headers"]["location"]).content == b'"' * sizes[1]


def test_errors_are_problems(invoke: InvokeFunction, api: Api) -> None:
    missing = event(api, "GET", "/v1/jobs/{job_id}", job_id="job_none")
    stranger = event(api, "GET", "/v1/jobs/{job_id}", job_id="job_none")
    stranger["headers"].pop("Authorization")
    stranger["multiValueHeaders"].pop("Authorization")
    answers = invoke(missing, stranger, event(api, "POST", "/v1/jobs", body=[]))
    assert [answer["statusCode"] for answer in answers] == [404, 401, 422]
    for answer in answers:
        assert answer["headers"]["content-type"] == "application/problem+json"
        reply = json.loads(body_of(answer))
        assert reply["request_id"] == "the-request-id"
        assert reply["type"].startswith("https://abc.execute-api.us-east-1.amazonaws.com/live/problems/")


def test_head_and_options_are_answered_without_a_body_and_with_what_is_allowed(
    invoke: InvokeFunction, api: Api
) -> None:
    get, head, options = invoke(*(event(api, method, "/v1/job-types") for method in ("GET", "HEAD", "OPTIONS")))
    assert (head["statusCode"], body_of(head)) == (200, b"")
    assert head["headers"]["content-length"] == str(len(body_of(get)))
    assert (options["statusCode"], options["headers"]["allow"]) == (405, "GET, HEAD")


STORES = {
    "COATCHECK_TABLE": "t",
    "COATCHECK_BUCKET": "b",
    "COATCHECK_QUEUES": '{"webhooks": "q"}',
    "COATCHECK_DEAD_LETTERS": '{"webhooks": "q"}',
    "COATCHECK_WEBHOOK_KEY": "k",
}


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({}, "settings: COATCHECK_TABLE: "),
        (STORES, "settings: COATCHECK_JOBS: name the modules with the job types, as jobs.words,jobs.images"),
        (STORES | {"COATCHECK_JOBS": "jobs/words.py"}, "settings: COATCHECK_JOBS: "),
        (STORES | {"COATCHECK_JOBS": "nowhere"}, "there is no module nowhere: correct `jobs` in [tool.coatcheck]"),
        (STORES | {"COATCHECK_JOBS": "jobs.demo"}, "COATCHECK_QUEUES: has no queue for lane default of demo.sleep"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, variables: dict[str, str], line: str) -> None:
    env = environment.child_environment(os.environ, tmp_path, "http://127.0.0.1:1") | variables
    done = subprocess.run(
        [sys.executable, "-c", "from coatcheck_service.main import app; app()"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1

"""service.zip of a project whose answers stream, run as the Lambda Web Adapter's layer does: its script, in its folder.

The adapter itself is not here. What it sends is made of the events of the doors (tests/adapter_requests.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import venv
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from httpx_sse import EventSource

from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.principal import Principal
from coatcheck_infra.build.lambda_zips import start_build
from coatcheck_infra.build.project_build import build_folder
from coatcheck_infra.build.zip_specs import LOCAL, STREAMED_SERVICE
from coatcheck_infra.local import environment
from coatcheck_infra.project.config import find_project
from coatcheck_infra.project.template_streaming import HANDLER, VARIABLES
from coatcheck_service.http.gateway_identity import verdict
from tests.adapter_requests import adapter_request
from tests.aws.service.running_service import Api, RunningService, clients_of
from tests.example_jobs import MODULES
from tests.finished_job import FinishedJob
from tests.front_doors import HOSTS, door_event
from tests.repository import ROOT
from tests.waiting import eventually

# what is behind makes no difference here: one emulator is enough
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

DOORS = ("rest", "function-url")
STREAM = "/v1/jobs/{job_id}/events"
CALLER = "arn:aws:sts::123456789012:assumed-role/admin/me"


@dataclass(frozen=True)
class Streamed:
    """The process that the adapter sends requests to, and the client that sends them."""

    api: Api
    url: str
    http: httpx.Client
    output: Path

    def get(self, door: str, path: str, *, resource: str = "", accept: str = "*/*") -> dict[str, Any]:
        """The event of a GET at `door`, by a caller with a key."""
        key = self.api.http.headers["authorization"]
        return door_event(door, "GET", path, resource=resource, authorization=key, accept=accept)

    def send(self, event: dict[str, Any], *, stream: bool = False) -> httpx.Response:
        """What is answered to the request of an event; with `stream`, how the answer begins."""
        return self.http.send(adapter_request(event, self.url), stream=stream)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that Lambda unpacks the zip to, with the modes that the zip has."""
    project = find_project(ROOT)
    archive = start_build(project, LOCAL, build_folder(project, LOCAL) / "streamed", print).make(STREAMED_SERVICE)
    folder = tmp_path_factory.mktemp("task")
    with ZipFile(archive) as opened:
        for info in opened.infolist():
            Path(opened.extract(info, folder)).chmod(info.external_attr >> 16)
    return folder


@pytest.fixture(scope="module")
def streamed(
    running_service: RunningService, emulator_url: str, unpacked: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Streamed]:
    scratch = tmp_path_factory.mktemp("function")
    venv.create(scratch / "python", with_pip=False)
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port = found.getsockname()[1]
    output = scratch / "output"
    with clients_of(running_service) as api:
        env = _environment(api, scratch, emulator_url) | {"AWS_LWA_PORT": str(port), "LAMBDA_TASK_ROOT": str(unpacked)}
        with output.open("wb") as lines:
            process = subprocess.Popen([unpacked / HANDLER], env=env, cwd="/", stdout=lines, stderr=lines)
        with httpx.Client(trust_env=False, timeout=60) as http:
            try:
                url = f"http://127.0.0.1:{port}"
                eventually(lambda: _is_ready(http, url) or process.poll() is not None, described=output.read_text)
                assert process.poll() is None, output.read_text()
                yield Streamed(api, url, http, output)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


def _environment(api: Api, scratch: Path, emulator_url: str) -> dict[str, str]:
    """What the template and Lambda give the function, with the stores and the AWS of this machine."""
    settings = api.running_service.settings
    plain = environment.child_environment({}, scratch, emulator_url)
    return plain | {
        # an interpreter without packages: all that is imported is in the zip
        "PATH": f"{scratch / 'python' / 'bin'}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "AWS_LAMBDA_FUNCTION_NAME": "words-ApiFunction",
        **VARIABLES,
        "COATCHECK_TABLE": settings.table,
        "COATCHECK_BUCKET": settings.bucket,
        "COATCHECK_QUEUES": json.dumps(settings.queues),
        "COATCHECK_DEAD_LETTERS": json.dumps(settings.dead_letters),
        "COATCHECK_WEBHOOK_KEY": settings.webhook_key,
        "COATCHECK_API_KEYS": json.dumps(settings.api_keys),
        "COATCHECK_LOG": "json",
        "COATCHECK_METRICS": "emf",
        "COATCHECK_JOBS": ",".join(MODULES),
    }


def _is_ready(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url + VARIABLES["AWS_LWA_READINESS_CHECK_PATH"]).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("door", DOORS)
def test_events_arrive_while_the_job_goes_on(streamed: Streamed, door: str) -> None:
    job_id = streamed.api.submit()["id"]
    event = streamed.get(door, STREAM.format(job_id=job_id), resource=STREAM, accept="text/event-stream")
    with closing(streamed.send(event, stream=True)) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        events = (event.json()["type"] for event in EventSource(answer).iter_sse() if event.data)
        assert next(events) == "job.queued"
        # nothing of this had happened when the first event was read
        streamed.api.settle(streamed.api.claim(job_id))
        assert list(events) == ["job.started", "job.succeeded"]


def test_the_events_of_all_jobs_of_a_tenant_arrive(streamed: Streamed) -> None:
    event = streamed.get("function-url", "/v1/events", accept="text/event-stream")
    with closing(streamed.send(event, stream=True)) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        job_id = streamed.api.submit()["id"]
        assert next(line for line in lines if job_id in line).startswith("data:")


@pytest.mark.parametrize("door", DOORS)
def test_links_are_those_of_the_door(streamed: Streamed, door: str) -> None:
    job_id = streamed.api.submit()["id"]
    event = streamed.get(door, f"/v1/jobs/{job_id}", resource="/v1/jobs/{job_id}")
    seen = streamed.send(event)
    base = f"https://{HOSTS[door]}{'/live' if door == 'rest' else ''}"
    assert seen.json()["urls"]["self"] == f"{base}/v1/jobs/{job_id}"
    assert seen.headers["x-request-id"] == event["requestContext"]["requestId"]


def test_a_result_that_would_be_a_link_elsewhere_is_in_the_answer(streamed: Streamed) -> None:
    api, stores = streamed.api, streamed.api.running_service.settings
    job = api.finished()
    key = JobKey(api.tenant, job.id)
    result = os.urandom(9 * 1024 * 1024)
    FinishedJob(api.running_service.worker, stores.table, stores.bucket, key).set_result(result, "image/png")
    route = "/v1/jobs/{job_id}/result"
    answer = streamed.send(streamed.get("rest", route.format(job_id=job.id), resource=route))
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(result).digest()


@pytest.mark.parametrize("door", DOORS)
def test_no_header_lets_anybody_in(streamed: Streamed, door: str) -> None:
    trusted = Principal(streamed.api.tenant, frozenset({"jobs:read"}))
    said = {"authorizer": verdict(trusted) | {"iam": {"userArn": CALLER}}, "identity": {"userArn": CALLER}}
    event = door_event(door, "GET", "/v1/jobs")
    event["requestContext"] |= said
    assert streamed.send(event).status_code == 401
    forged = door_event(door, "GET", "/v1/jobs", x_amzn_request_context=json.dumps(said))
    assert streamed.send(forged).status_code == 401
    # an adapter of before 1.0 would have passed it on
    request = adapter_request(forged, streamed.url)
    request.headers["x-amzn-request-context"] = json.dumps(said)
    assert streamed.http.send(request).status_code == 401


def test_another_tenants_key_sees_its_own_jobs_whatever_the_header_says(streamed: Streamed) -> None:
    job_id = streamed.api.submit()["id"]
    event = door_event("rest", "GET", f"/v1/jobs/{job_id}", resource="/v1/jobs/{job_id}")
    event["multiValueHeaders"]["Authorization"] = [streamed.api.other.headers["authorization"]]
    event["requestContext"]["authorizer"] = verdict(Principal(streamed.api.tenant, frozenset({"jobs:read"})))
    assert streamed.send(event).status_code == 404


def test_operators_and_events_that_are_no_requests_have_no_route_here(streamed: Streamed) -> None:
    assert streamed.send(streamed.get("rest", "/v1/admin/jobs")).status_code == 404
    # where the adapter sends what is no event of a door
    assert streamed.http.post(f"{streamed.url}/events", json={"Records": []}).status_code == 404


def test_lines_of_the_log_and_of_metrics_are_written_before_lambda_freezes_the_process(streamed: Streamed) -> None:
    before = len(streamed.output.read_text())
    streamed.send(streamed.get("rest", "/v1/job-types"))
    lines = [json.loads(line) for line in streamed.output.read_text()[before:].splitlines()]
    assert [line["message"] for line in lines if line.get("logger", "").endswith("middleware")] == [
        "GET /v1/job-types 200"
    ]
    assert any("_aws" in line for line in lines)

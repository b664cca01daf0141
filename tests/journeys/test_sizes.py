"""Results and artifacts of every size at which something may change, through both front doors."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest

from coatcheck_service.front_door import FRONT_DOORS, UVICORN, FrontDoor
from jobs.demo import deterministic_bytes
from tests.boundary_sizes import KINDS, around
from tests.finished_job import FinishedJob
from tests.journeys.results import DOOR, finished_job_on, submitted
from tests.journeys.up_process import Stack
from tests.waiting import eventually

LIMITS = {"stack": UVICORN, "full_stack": FRONT_DOORS[DOOR]}

SIZES = around(*(door.inline_limit for door in LIMITS.values()))


@pytest.fixture(params=LIMITS, ids=["up", "whole"])
def gateway(request: pytest.FixtureRequest) -> tuple[Stack, FrontDoor]:
    """Both ways of running, and how much each says that it carries."""
    return request.getfixturevalue(request.param), LIMITS[request.param]


@pytest.fixture
def limits(gateway: tuple[Stack, FrontDoor]) -> FrontDoor:
    """How much the front door carries."""
    return gateway[1]


@pytest.fixture
def http(gateway: tuple[Stack, FrontDoor]) -> Iterator[httpx.Client]:
    """A client of the front door."""
    with gateway[0].client() as client:
        yield client


@pytest.fixture
def finished_job(gateway: tuple[Stack, FrontDoor], http: httpx.Client) -> FinishedJob:
    """A job that was done, to be given results and artifacts."""
    return finished_job_on(gateway[0], http)


def get_without_key(url: str) -> httpx.Response:
    """What a link leads to, without a key."""
    got = httpx.get(url, timeout=60, trust_env=False)
    assert got.status_code == 200, got.text[:300]
    assert got.headers["content-disposition"].startswith("attachment; ")
    return got


def assert_collected(http: httpx.Client, limits: FrontDoor, path: str, body: bytes, content_type: str) -> None:
    """`path` leads to these bytes: itself or elsewhere, by link, and not where the client has them."""
    digest = hashlib.sha256(body)
    answer = http.get(path)
    if len(body) <= limits.inline_limit:
        assert answer.status_code == 200, (len(body), answer.status_code, answer.text[:300])
        assert answer.headers["content-length"] == str(len(body))
        assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
        assert answer.headers["content-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    else:
        assert (answer.status_code, answer.content) == (303, b""), len(body)
        answer = get_without_key(answer.headers["location"])
    assert (answer.content == body, answer.headers["content-type"]) == (True, content_type), len(body)

    link = http.get(path, params={"link": "true"}).json()
    assert (link["size"], link["sha256"], link["content_type"]) == (len(body), digest.hexdigest(), content_type)
    # what is in the row is the service's own to give
    got = http.get(link["url"]) if link["url"].startswith(str(http.base_url)) else get_without_key(link["url"])
    assert (got.content == body, got.headers["content-type"]) == (True, content_type), len(body)

    unchanged = http.get(path, headers={"If-None-Match": f'"{digest.hexdigest()}"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def await_result(http: httpx.Client, path: str) -> None:
    """Wait until the job is done; up to 2 minutes, since it may stand behind many others."""
    eventually(lambda: http.get(path, headers={"Prefer": "wait=5"}).status_code != 202, 120)


def test_results_that_a_worker_made(http: httpx.Client, limits: FrontDoor) -> None:
    content_type = "application/x-noise"
    payload = {"content_type": content_type, "seed": 7}
    made = {size: submitted(http, "demo.bytes", {"size": size, **payload}) for size in SIZES}
    for size, job_id in made.items():
        path = f"/v1/jobs/{job_id}/result"
        await_result(http, path)
        assert_collected(http, limits, path, b"".join(deterministic_bytes(size, 7)), content_type)


def test_results_of_text_that_json_escapes(http: httpx.Client, limits: FrontDoor, finished_job: FinishedJob) -> None:
    content_type, made = KINDS["escapes"]
    for size in SIZES:
        finished_job.set_result(made(size), content_type)
        assert_collected(http, limits, f"/v1/jobs/{finished_job.key.id}/result", made(size), content_type)


@pytest.mark.parametrize("kind", ["words", "noise"])
def test_artifacts_of_text_in_many_scripts_and_of_bytes(
    http: httpx.Client, limits: FrontDoor, finished_job: FinishedJob, kind: str
) -> None:
    content_type, made = KINDS[kind]
    finished_job.set_artifacts({f"{size}.bin": made(size) for size in SIZES}, content_type)
    for size in SIZES:
        path = f"/v1/jobs/{finished_job.key.id}/result/{size}.bin"
        assert_collected(http, limits, path, made(size), content_type)

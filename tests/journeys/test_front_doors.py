"""Two journeys through the doors that `up --whole` does not start with: the short form of `make doors`.

The functions are those of the stack that the other journeys go through. What invokes them is what `up --whole
--front-door` starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from coatcheck_infra.local.lambda_door_proxy import LambdaDoorProxy, Target, invoker, proxy_app
from coatcheck_infra.local.resources import client
from coatcheck_service.front_door import ALB, FRONT_DOORS, FUNCTION_URL, MIB, FrontDoor
from jobs.demo import deterministic_bytes
from tests.aws.service.running_service import served
from tests.front_doors import HOSTS, TARGET_GROUP
from tests.journeys.results import fetch_result, submitted
from tests.journeys.up_process import Stack

AT = {"function-url": HOSTS["function-url"], "alb": TARGET_GROUP}


@pytest.fixture(scope="module", params=[FUNCTION_URL.name, ALB.name])
def door(request: pytest.FixtureRequest) -> FrontDoor:
    """The door of a test."""
    return FRONT_DOORS[request.param]


@pytest.fixture(scope="module")
def http(full_stack: Stack, door: FrontDoor) -> Iterator[httpx.Client]:
    """A client of the whole stack, through the door."""
    functions = client("lambda", full_stack.aws_endpoint_url, full_stack.credentials).list_functions()["Functions"]
    api, admin = (
        next(one["FunctionArn"] for one in functions if one["Handler"].startswith(f"coatcheck_service.{module}."))
        for module in ("aws_lambda", "aws_admin_lambda")
    )
    invoke = invoker(full_stack.aws_endpoint_url, full_stack.credentials)
    proxy = LambdaDoorProxy(door.name, Target(f"{api}:live", AT[door.name]), Target(admin, AT[door.name]), invoke)
    with (
        served(proxy_app(proxy)) as url,
        httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {full_stack.api_key}"}, timeout=60, trust_env=False
        ) as http,
    ):
        yield http


def test_a_job_is_handed_in_watched_and_collected(http: httpx.Client, door: FrontDoor) -> None:
    key = {"Idempotency-Key": f"through-{door.name}"}
    body = {"type": "demo.sleep", "input": {"seconds": 0}, "metadata": {"of": "gr\u00fc\u00df dich"}}
    made = http.post("/v1/jobs", json=body, headers=key)
    assert made.status_code == 202, made.text
    job = made.json()["id"]
    assert http.post("/v1/jobs", json=body, headers=key).headers["idempotent-replayed"] == "true"
    assert fetch_result(http, job).json() == {"slept": 0.0}
    seen = http.get(f"/v1/jobs/{job}")
    assert (seen.json()["status"], seen.json()["metadata"]) == ("succeeded", {"of": "gr\u00fc\u00df dich"})
    unchanged = http.get(f"/v1/jobs/{job}", headers={"If-None-Match": seen.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    listed = http.get("/v1/jobs", params={"type": "demo.sleep", "status": "succeeded", "limit": 1})
    assert (listed.status_code, len(listed.json()["data"])) == (200, 1)
    head = http.head(f"/v1/jobs/{job}/result")
    assert (head.status_code, head.content) == (200, b"")
    assert http.delete(f"/v1/jobs/{job}").status_code == 204
    assert http.get(f"/v1/jobs/{job}").status_code == 410


def test_a_result_of_any_size_comes_back_by_the_door_or_around_it(http: httpx.Client, door: FrontDoor) -> None:
    for size in (door.inline_limit, door.inline_limit + 1):
        answer = fetch_result(http, submitted(http, "demo.bytes", {"size": size, "seed": 5}))
        assert answer.status_code == (200 if size == door.inline_limit else 303)
        if answer.status_code == 303:
            answer = httpx.get(answer.headers["location"], timeout=60, trust_env=False)
        wanted = hashlib.sha256(b"".join(deterministic_bytes(size, 5)))
        assert hashlib.sha256(answer.content).digest() == wanted.digest()


def test_what_is_wrong_is_a_problem_unless_the_door_itself_refuses_it(http: httpx.Client) -> None:
    unknown, method = http.get("/v1/nowhere"), http.put("/v1/job-types")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    assert (method.status_code, method.headers["allow"]) == (405, "GET, HEAD")
    stranger = http.get("/v1/jobs", headers={"Authorization": "Bearer wrong"})
    # no door but API Gateway renames it
    assert (stranger.status_code, "www-authenticate" in stranger.headers) == (401, True)
    assert http.get("/v1/admin/tenants").json()["detail"].startswith("This is no operator's key")
    twice = [("Authorization", http.headers["authorization"])] * 2
    # a function URL makes one value of them
    assert httpx.get(http.base_url.join("/v1/jobs"), headers=twice, trust_env=False, timeout=60).status_code == 401
    large = http.post("/v1/jobs", content=b" " * (6 * MIB), headers={"Content-Type": "application/json"})
    assert (large.status_code, large.headers["content-type"].startswith("application/problem")) == (413, False)

"""A `coatcheck up` that is started again in its home goes on with the jobs and files that it had."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from coatcheck_infra.local.resources import client
from coatcheck_infra.local.state_store import StateStore
from tests.journeys.results import fetch_result, submitted
from tests.journeys.up_process import Stack, UpProcess, processes_of
from tests.waiting import eventually

StartUp = Callable[..., UpProcess]

TABLE = b"a,b\n" + b"1,2\n" * 300_000
SECRET = {"Name": "payments/key", "SecretString": "s3cret"}


def announce(http: httpx.Client) -> dict[str, Any]:
    """Announce an upload; the answer has the link to which it is sent."""
    described = {"filename": "t.csv", "content_type": "text/csv", "size": len(TABLE)}
    announced: dict[str, Any] = http.post("/v1/uploads", json=described).raise_for_status().json()
    return announced


def send(upload: dict[str, Any]) -> httpx.Response:
    return httpx.request(
        upload["method"], upload["url"], headers=upload["headers"], content=TABLE, trust_env=False, timeout=60
    )


def query_of(upload: dict[str, Any]) -> dict[str, Any]:
    return {"sql": "SELECT * FROM t", "tables": {"t": {"$upload": upload["id"]}}, "format": "csv"}


def is_running(http: httpx.Client, job: str) -> bool:
    return bool(http.get(f"/v1/jobs/{job}").json()["status"] == "running")


def is_done(http: httpx.Client, job: str) -> bool:
    return bool(http.get(f"/v1/jobs/{job}").json()["status"] == "succeeded")


def handed_back(http: httpx.Client, job: str) -> bool:
    events = http.get(f"/v1/jobs/{job}/events").json()["data"]
    return "handed-back" in [event["error"] and event["error"]["code"] for event in events]


def secrets_of(stack: Stack) -> dict[str, Any]:
    """The value of each secret, by its ARN."""
    api = client("secretsmanager", stack.aws_endpoint_url, stack.credentials)
    arns = [secret["ARN"] for secret in api.list_secrets()["SecretList"]]
    return {arn: api.get_secret_value(SecretId=arn)["SecretString"] for arn in arns}


def kept_messages(home: Path) -> int:
    with contextlib.closing(StateStore(home / "state")) as store:
        return len(store.messages())


def test_jobs_files_and_secrets_are_kept(start_up: StartUp) -> None:
    up = start_up()
    stack = up.ready()
    with stack.client() as http:
        upload, later = announce(http), announce(http)
        send(upload).raise_for_status()
        finished = submitted(http, "table.query", query_of(upload))
        result = fetch_result(http, finished).content
        assert len(result) > len(TABLE) // 2
        interrupted = submitted(http, "demo.sleep", {"seconds": 8})
        eventually(lambda: is_running(http, interrupted))
    client("secretsmanager", stack.aws_endpoint_url, stack.credentials).create_secret(**SECRET)
    secrets = secrets_of(stack)
    assert len(secrets) == 2
    assert up.stop(signal.SIGINT) == 0, up.output()

    first = stack.credentials
    up = start_up(home=up.home)
    stack = up.ready()
    assert secrets_of(stack) == secrets
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client("dynamodb", stack.aws_endpoint_url, first).list_tables()
    with stack.client() as http:
        assert fetch_result(http, finished).content == result
        forged = {**later, "url": later["url"].replace("X-Amz-Expires=", "X-Amz-Expires=1")}
        assert send(forged).status_code == 403
        assert send(later).is_success, "a link is good for as long as it says"
        for one in (upload, later):
            assert fetch_result(http, submitted(http, "table.query", query_of(one))).content == result
        eventually(lambda: is_done(http, interrupted), described=up.output)
        assert handed_back(http, interrupted), "its lease would have held it for a minute"
        # as many as the workers run, and one that waits behind them
        jobs = [submitted(http, "demo.sleep", {"seconds": seconds}) for seconds in (60, 60, 0)]
        eventually(lambda: all(is_running(http, job) for job in jobs[:2]))
        eventually(lambda: kept_messages(up.home) == len(jobs), described=lambda: (kept_messages(up.home), up.output()))
        listed = {job["id"] for job in http.get("/v1/jobs").json()["data"]}
    up.kill()
    eventually(lambda: not processes_of(up.home))

    up = start_up(home=up.home)
    with up.ready().client() as http:
        assert {job["id"] for job in http.get("/v1/jobs").json()["data"]} == listed
        assert fetch_result(http, finished).content == result
        # on a busy machine the leases of the two that ran may be over by now, and they would run again before it
        for job in jobs[:2]:
            http.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        eventually(lambda: is_done(http, jobs[2]), described=up.output)
    assert up.stop() == 0, up.output()

    up = start_up("--fresh", home=up.home)
    with up.ready().client() as http:
        assert http.get("/v1/jobs").json()["data"] == []
    assert f"discarded what was kept in {up.home}/state" in up.output()


def test_the_full_stack_keeps_the_same_state(start_up: StartUp) -> None:
    up = start_up("--whole")
    stack = up.ready()
    with stack.client() as http:
        upload, later = announce(http), announce(http)
        send(upload).raise_for_status()
        job = submitted(http, "table.query", query_of(upload))
        result = fetch_result(http, job).content
    secrets = secrets_of(stack)
    assert up.stop() == 0, up.output()

    up = start_up(home=up.home)
    stack = up.ready()
    assert secrets_of(stack) == secrets
    with stack.client() as http:
        assert fetch_result(http, job).content == result
    assert send(later).is_success, "a function of before has signed this link"
    assert up.stop() == 0, up.output()

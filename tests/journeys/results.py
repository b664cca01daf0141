"""Jobs of a running stack whose results are what a test says, and the two front doors they are fetched through."""

from __future__ import annotations

import os
import time
from typing import Any

import httpx

from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck_infra.local.full_stack import CODE_BUCKET
from coatcheck_infra.local.home import TENANT
from coatcheck_infra.local.resources import client
from tests.aws import emulators
from tests.finished_job import FinishedJob
from tests.journeys.up_process import Stack

DOOR_VARIABLE = "COATCHECK_JOURNEYS_DOOR"

DOOR = os.environ.get(DOOR_VARIABLE, "rest")
"""The front door of the whole stack: `python -m tests.journeys.doors` goes through each of them."""


def submitted(http: httpx.Client, job_type: str, payload: dict[str, Any]) -> str:
    """The id of a job that was handed in."""
    answer = http.post("/v1/jobs", json={"type": job_type, "input": payload})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def fetch_result(http: httpx.Client, job_id: str) -> httpx.Response:
    """The answer to who wants the result, once the job is done; a front door may let a request wait less than asked."""
    deadline = time.monotonic() + 60
    while True:
        answer = http.get(f"/v1/jobs/{job_id}/result", headers={"Prefer": "wait=25"})
        if answer.status_code != 202:
            return answer
        assert time.monotonic() < deadline, answer.text


def finished_job_on(stack: Stack, http: httpx.Client) -> FinishedJob:
    """A job that the stack's own worker has done."""
    job_id = submitted(http, "demo.sleep", {"seconds": 0})
    assert fetch_result(http, job_id).status_code == 200
    (table,) = client("dynamodb", stack.aws_endpoint_url, stack.credentials).list_tables()["TableNames"]
    buckets = {one["Name"] for one in client("s3", stack.aws_endpoint_url, stack.credentials).list_buckets()["Buckets"]}
    (bucket,) = buckets - {CODE_BUCKET}
    transport = emulators.connect(stack.aws_endpoint_url, stack.credentials)
    return FinishedJob(transport, table, bucket, JobKey(TENANT, job_id))

"""The same two routes as one would write them by hand: FastAPI with `def`, boto3, and Mangum on Lambda."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from typing import Annotated, Any

import boto3
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from mangum import Mangum
from pydantic import BaseModel

KEYS: dict[str, str] = json.loads(os.environ["PEER_KEYS"])
TABLE, QUEUE = os.environ["PEER_TABLE"], os.environ["PEER_QUEUE"]

dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")
app = FastAPI()


class NewJob(BaseModel):
    """What is submitted."""

    type: str
    input: dict[str, Any] = {}


class JobOut(BaseModel):
    """What is shown of a job."""

    id: str
    type: str
    status: str
    version: int
    created_at: str
    updated_at: int
    attempt: int
    max_attempts: int


def tenant(authorization: Annotated[str, Header()] = "") -> str:
    """Whose key it is."""
    digest = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).hexdigest()
    if digest not in KEYS:
        raise HTTPException(401)
    return KEYS[digest]


Tenant = Annotated[str, Depends(tenant)]


@app.get("/v1/jobs/{job_id}")
def get_job(job_id: str, caller: Tenant, response: Response) -> JobOut:
    """Look at a job."""
    key = {"pk": {"S": f"{caller}#{job_id}"}, "sk": {"S": "job"}}
    item = dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        raise HTTPException(404)
    response.headers["ETag"] = f'"{item["version"]["N"]}"'
    return JobOut(
        id=job_id,
        type=item["type"]["S"],
        status=item["status"]["S"],
        version=int(item["version"]["N"]),
        created_at=item["listed"]["S"],
        updated_at=int(item["updated_at"]["N"]),
        attempt=int(item["attempt"]["N"]),
        max_attempts=int(item["max_attempts"]["N"]),
    )


@app.post("/v1/jobs", status_code=202)
def submit_job(job: NewJob, caller: Tenant) -> JobOut:
    """Submit a job."""
    job_id, now = f"job_{secrets.token_hex(13)}", time.time_ns() // 1_000_000
    dynamodb.put_item(
        TableName=TABLE,
        Item={
            "pk": {"S": f"{caller}#{job_id}"},
            "sk": {"S": "job"},
            "type": {"S": job.type},
            "status": {"S": "queued"},
            "version": {"N": "1"},
            "listed": {"S": str(now)},
            "updated_at": {"N": str(now)},
            "attempt": {"N": "0"},
            "max_attempts": {"N": "3"},
            "input": {"S": json.dumps(job.input)},
        },
        ConditionExpression="attribute_not_exists(pk)",
    )
    sqs.send_message(QueueUrl=QUEUE, MessageBody=json.dumps({"tenant": caller, "job": job_id}))
    return JobOut(
        id=job_id,
        type=job.type,
        status="queued",
        version=1,
        created_at=str(now),
        updated_at=now,
        attempt=0,
        max_attempts=3,
    )


handler = Mangum(app, lifespan="off")

"""A poller as one would write it with boto3: `python -m bench.peers.boto3_queue submit|work`.

Each job is the same six requests to AWS as one of ours. $PEER_URL is AWS's, $PEER_QUEUE the queue's and $PEER_TABLE the
table's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import boto3

from bench.peers.counted_job import COUNTER, JOBS, WARM_UP

QUEUE, TABLE = os.environ["PEER_QUEUE"], os.environ["PEER_TABLE"]
URL, REGION = os.environ["PEER_URL"], "us-east-1"
dynamodb: Any = boto3.client("dynamodb", endpoint_url=URL, region_name=REGION)
sqs: Any = boto3.client("sqs", endpoint_url=URL, region_name=REGION)


def submit() -> None:
    """Put the jobs into the table, and their messages into the queue."""
    for number in range(WARM_UP + JOBS):
        job = {"pk": {"S": f"bench#{number}"}, "sk": {"S": "job"}, "status": {"S": "queued"}, "attempt": {"N": "0"}}
        dynamodb.put_item(TableName=TABLE, Item=job, ConditionExpression="attribute_not_exists(pk)")
        sqs.send_message(QueueUrl=QUEUE, MessageBody=json.dumps({"job": f"bench#{number}"}))


def work() -> None:
    """Receive one message after the other, and run its job."""
    while True:
        for message in sqs.receive_message(QueueUrl=QUEUE, WaitTimeSeconds=10).get("Messages", []):
            job = json.loads(message["Body"])["job"]
            _move(job, "queued", "running", attempt=1)
            result = json.dumps({})
            _move(job, "running", "succeeded", result=result)
            sqs.delete_message(QueueUrl=QUEUE, ReceiptHandle=message["ReceiptHandle"])
            COUNTER.done()


def _move(job: str, before: str, after: str, **changes: Any) -> None:
    fields = {"status": after, "at": str(time.time_ns()), **{name: str(value) for name, value in changes.items()}}
    dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": job}, "sk": {"S": "job"}},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
        ConditionExpression="#status = :before",
        ExpressionAttributeNames={f"#{name}": name for name in fields},
        ExpressionAttributeValues={
            ":before": {"S": before},
            **{f":{name}": {"S": value} for name, value in fields.items()},
        },
    )


if __name__ == "__main__":
    submit() if sys.argv[1] == "submit" else work()

"""A worker as one would write it by hand with boto3: receive, claim, run nothing, settle, delete."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time

import boto3

QUEUE, TABLE = os.environ["PEER_QUEUE"], os.environ["COATCHECK_TABLE"]
LEASE = 60_000


def main() -> None:
    """Work until SIGTERM."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")
    while not ending:
        received = sqs.receive_message(QueueUrl=QUEUE, WaitTimeSeconds=20, MaxNumberOfMessages=1)
        for message in received.get("Messages", []):
            named = json.loads(message["Body"])
            key = {"pk": {"S": f"{named['tenant']}#{named['job']}"}, "sk": {"S": "job"}}
            now = time.time_ns() // 1_000_000
            dynamodb.update_item(
                TableName=TABLE,
                Key=key,
                UpdateExpression="SET #status = :running, #owner = :owner, lease_until = :lease ADD attempt :one",
                ConditionExpression="#status = :queued",
                ExpressionAttributeNames={"#status": "status", "#owner": "owner"},
                ExpressionAttributeValues={
                    ":running": {"S": "running"},
                    ":queued": {"S": "queued"},
                    ":owner": {"S": secrets.token_hex(8)},
                    ":lease": {"N": str(now + LEASE)},
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_NEW",
            )
            dynamodb.update_item(
                TableName=TABLE,
                Key=key,
                UpdateExpression="SET #status = :succeeded, #result = :result, finished_at = :now",
                ConditionExpression="attempt = :one",
                ExpressionAttributeNames={"#status": "status", "#result": "result"},
                ExpressionAttributeValues={
                    ":succeeded": {"S": "succeeded"},
                    ":result": {"S": "{}"},
                    ":now": {"N": str(now)},
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_NEW",
            )
            sqs.delete_message(QueueUrl=QUEUE, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()

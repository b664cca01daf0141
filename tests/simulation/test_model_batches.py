"""The model of AWS answers pages and batches as the emulators do; and where AWS may do less, so does the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck import blobs, queues
from coatcheck.calls import AwsError, Call, Service
from coatcheck.deployment import Deployment
from coatcheck.table import items
from coatcheck.table.keys import DUE_INDEX, Item, JobKey
from tests.rows import NOW, a_job
from tests.simulation.model import Model, ModelDoor
from worker.aws import Aws, Boto
from worker.tools import system_clock

ROWS = 25


@pytest.fixture
def model() -> ModelDoor:
    """The model, empty."""
    return ModelDoor(Model(), system_clock)


def _asked(door: Aws, service: Service, operation: str, **params: Any) -> Any:
    """The answer as it is, or the code of the error."""
    try:
        return door.send(Call(service, operation, params, read=lambda answer: answer))
    except AwsError as error:
        return error.code


def _row(number: int, tenant: str, shard: str) -> Item:
    key = JobKey(tenant, f"job_{number:03d}").item()
    return key | {"due_shard": {"S": shard}, "due_at": {"N": str(NOW + number // 3)}}


@pytest.mark.parametrize("limit", [1, 7, ROWS, 100])
def test_an_index_is_read_page_by_page(
    limit: int, model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str
) -> None:
    shard = f"due-{tenant}-{limit}"
    told = []
    for door in (aws, model):
        for number in range(ROWS):
            _asked(door, "dynamodb", "PutItem", TableName=deployment.table, Item=_row(number, tenant, shard))
        told.append([[key["pk"]["S"] for key in page] for page in _pages(door, deployment.table, shard, limit)])
    assert told[0] == told[1]
    assert sum(map(len, told[1])) == ROWS - 1


def _pages(door: Aws, table: str, shard: str, limit: int) -> Iterator[list[Item]]:
    """All that is due but the last, in pages that are not empty: the one after the last may be."""
    after: dict[str, Any] = {}
    while True:
        answer = _asked(
            door,
            "dynamodb",
            "Query",
            TableName=table,
            IndexName=DUE_INDEX,
            KeyConditionExpression="#s = :s AND #d <= :now",
            ExpressionAttributeNames={"#s": "due_shard", "#d": "due_at"},
            ExpressionAttributeValues={":s": {"S": shard}, ":now": {"N": str(NOW + (ROWS - 2) // 3)}},
            Limit=limit,
            **after,
        )
        if answer["Items"]:
            yield answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        assert answer["LastEvaluatedKey"].keys() == {"pk", "sk", "due_shard", "due_at"}
        after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def test_a_page_ends_at_one_megabyte(model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str) -> None:
    told = []
    for door in (aws, model):
        for number in range(5):
            item = JobKey(tenant, "job_large").item(f"page#{number}") | {"body": {"B": bytes(300_000)}}
            _asked(door, "dynamodb", "PutItem", TableName=deployment.table, Item=item)
        first = _query(door, deployment.table, tenant)
        second = _query(door, deployment.table, tenant, ExclusiveStartKey=first["LastEvaluatedKey"])
        # whether the item that is too much belongs to the first, the emulators do not agree
        assert len(first["Items"]) in {3, 4}
        told.append([item["sk"]["S"] for answer in (first, second) for item in answer["Items"]])
    assert told[0] == told[1] == [f"page#{number}" for number in range(5)]


def _query(door: Aws, table: str, tenant: str, **more: Any) -> Any:
    return _asked(
        door,
        "dynamodb",
        "Query",
        TableName=table,
        KeyConditionExpression="#p = :p",
        ExpressionAttributeNames={"#p": "pk"},
        ExpressionAttributeValues={":p": {"S": f"{tenant}#job_large"}},
        ConsistentRead=True,
        **more,
    )


def test_batches_of_rows(model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str) -> None:
    table, keys = deployment.table, [JobKey(tenant, f"job_{number}") for number in range(101)]
    told = []
    for door in (aws, model):
        for key in keys[:99]:
            door.send(items.put_job(table, a_job(tenant=tenant, id=key.id), now=NOW))
        found = [_batch(door, table, asked) for asked in (keys[:100], keys, [keys[0], keys[0]])]
        gone = {"DeleteRequest": {"Key": keys[0].item()}}
        written = [
            _asked(door, "dynamodb", "BatchWriteItem", RequestItems={table: batch}) for batch in ([gone], [gone] * 26)
        ]
        assert written[0]["UnprocessedItems"] == {}
        told.append((found, written[1], _batch(door, table, keys[:100])))
    assert told[0] == told[1]
    assert len(told[1][0][0]) == len(told[1][2]) + 1 == 99


def _batch(door: Aws, table: str, keys: list[JobKey]) -> Any:
    request = {table: {"Keys": [key.item() for key in keys], "ConsistentRead": True}}
    answer = _asked(door, "dynamodb", "BatchGetItem", RequestItems=request)
    return answer if isinstance(answer, str) else sorted(item["pk"]["S"] for item in answer["Responses"][table])


_CONDITIONS = (
    "attribute_exists(#a)",
    "attribute_exists(#b)",
    "NOT attribute_exists(#b)",
    "NOT #a = :one",
    "#a <> :one",
    "#a <> :two",
    "#b <> :one",
    "#a <> :text",
    "NOT #b <= :one AND #a = :one",
)


def test_conditions_that_the_lifecycle_has_not(
    model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str
) -> None:
    told = []
    for door in (aws, model):
        key = JobKey(tenant, "job_conditions").item()
        _asked(door, "dynamodb", "PutItem", TableName=deployment.table, Item=key | {"a": {"N": "1"}})
        told.append([_holds(door, deployment.table, key, text) for text in _CONDITIONS])
    assert told[0] == told[1]
    assert set(told[1]) == {True, False}


def _holds(door: Aws, table: str, key: Item, text: str) -> bool:
    values = {":one": {"N": "1"}, ":two": {"N": "2"}, ":text": {"S": "1"}}
    names = {"#a": "a", "#b": "b"}
    answer = _asked(
        door,
        "dynamodb",
        "UpdateItem",
        TableName=table,
        Key=key,
        UpdateExpression="SET #c = :c",
        ConditionExpression=text,
        ExpressionAttributeNames={"#c": "c"} | {alias: name for alias, name in names.items() if alias in text},
        ExpressionAttributeValues={":c": {"N": "0"}} | {name: v for name, v in values.items() if name in text},
    )
    return bool(answer != "ConditionalCheckFailedException")


def test_an_item_is_deleted_once(model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str) -> None:
    told = []
    for door in (aws, model):
        key = JobKey(tenant, "job_deleted").item()
        _asked(door, "dynamodb", "PutItem", TableName=deployment.table, Item=key)
        answers = [
            _asked(door, "dynamodb", "DeleteItem", TableName=deployment.table, Key=key, ReturnValues="ALL_OLD")
            for _ in range(2)
        ]
        told.append([answer.get("Attributes") for answer in answers])
    assert told[0] == told[1] == [key, None]


def test_batches_of_messages(model: ModelDoor, aws: Boto, tenant: str) -> None:
    # a queue of this test's own: what others have delayed would be counted as well
    urls = (_asked(aws, "sqs", "CreateQueue", QueueName=tenant)["QueueUrl"], "queue")
    told = []
    doors: tuple[Aws, Aws] = (aws, model)
    for door, url in zip(doors, urls, strict=True):
        sent = _send(door, url, [f"{tenant}-{n}" for n in range(10)], delays=[0] * 8 + [900, 60])
        counts = _counted(door, url)
        held = {message.body: message.handle for message in _receive_all(door, url)}
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(held.values())]
        flying = _counted(door, url)
        deleted = _told(_asked(door, "sqs", "DeleteMessageBatch", QueueUrl=url, Entries=entries))
        refused = [_send(door, url, bodies, delays=[0] * 11) for bodies in ([], ["a"] * 11)]
        told.append((sent, counts, sorted(held), flying, deleted, refused, _counted(door, url)))
    assert told[0] == told[1]
    assert told[1][1] == (8, 0, 2)
    assert told[1][3] == (0, 8, 2)


def test_a_batch_with_a_delay_that_sqs_does_not_take(model: ModelDoor) -> None:
    # one of the emulators takes it
    assert _send(model, "queue", ["a", "b"], delays=[901, 900]) == (["1"], ["0"])


def _send(door: Aws, url: str, bodies: list[str], *, delays: list[int]) -> Any:
    entries = [
        {"Id": str(n), "MessageBody": body, "MessageGroupId": "t", "DelaySeconds": delay}
        for n, (body, delay) in enumerate(zip(bodies, delays, strict=False))
    ]
    return _told(_asked(door, "sqs", "SendMessageBatch", QueueUrl=url, Entries=entries))


def _told(answer: Any) -> Any:
    if isinstance(answer, str):
        return "refused"
    done, failed = answer.get("Successful", []), answer.get("Failed", [])
    return sorted(one["Id"] for one in done), sorted(one["Id"] for one in failed)


def _receive_all(door: Aws, url: str) -> Iterator[queues.Received]:
    while found := door.send(queues.receive(url, wait=0, limit=10)):
        yield from found


def _counted(door: Aws, url: str) -> Any:
    names = ["", "NotVisible", "Delayed"]
    asked = [f"ApproximateNumberOfMessages{name}" for name in names]
    answer = _asked(door, "sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=asked)
    return tuple(int(answer["Attributes"][name]) for name in asked)


def test_an_object_that_may_not_be_written_over(
    model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str
) -> None:
    told = []
    for door in (aws, model):
        asked = {"Bucket": deployment.bucket, "Key": f"uploads/{tenant}/once", "Body": b"a", "IfNoneMatch": "*"}
        told.append([_asked(door, "s3", "PutObject", **asked) for _ in range(2)][1])
    assert told == ["PreconditionFailed"] * 2


def test_keys_are_listed_page_by_page(model: ModelDoor, aws: Boto, deployment: Deployment, tenant: str) -> None:
    told = []
    for door in (aws, model):
        prefix, after, pages = f"results/{tenant}/", dict[str, Any](), []
        for number in range(5):
            body = bytes([number])
            sha256 = hashlib.sha256(body).digest()
            door.send(blobs.put(deployment.bucket, f"{prefix}{number}", body, content_type="x/y", sha256=sha256))
        while True:
            asked = {"Bucket": deployment.bucket, "Prefix": prefix, "MaxKeys": 2, **after}
            answer = _asked(door, "s3", "ListObjectsV2", **asked)
            pages.append([entry["Key"] for entry in answer["Contents"]])
            if not answer["IsTruncated"]:
                break
            after = {"ContinuationToken": answer["NextContinuationToken"]}
        told.append(pages)
    assert told[0] == told[1]

"""The model of AWS answers pages and batches as the emulators do; and where AWS may do less, so does the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3, sqs
from coatcheck.core.aws.call import AwsError, Call, Service
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import DUE_INDEX, Item, JobKey
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import Settings
from tests.job_rows import NOW, make_job
from tests.simulation.model import Model, ModelTransport

ROWS = 25


@pytest.fixture
def model() -> ModelTransport:
    """The model, empty."""
    return ModelTransport(Model(), system_clock)


def _asked(transport: Transport, service: Service, operation: str, **params: Any) -> Any:
    """The answer as it is, or the code of the error."""
    try:
        return transport.send(Call(service, operation, params, read=lambda answer: answer))
    except AwsError as error:
        return error.code


def _row(number: int, tenant: str, shard: str) -> Item:
    key = JobKey(tenant, f"job_{number:03d}").item()
    return key | {"due_shard": {"S": shard}, "due_at": {"N": str(NOW + number // 3)}}


@pytest.mark.parametrize("limit", [1, 7, ROWS, 100])
def test_an_index_is_read_page_by_page(
    limit: int, model: ModelTransport, aws: Transport, settings: Settings, tenant: str
) -> None:
    shard = f"due-{tenant}-{limit}"
    outcomes = []
    for transport in (aws, model):
        for number in range(ROWS):
            _asked(transport, "dynamodb", "PutItem", TableName=settings.table, Item=_row(number, tenant, shard))
        outcomes.append([[key["pk"]["S"] for key in page] for page in _pages(transport, settings.table, shard, limit)])
    assert outcomes[0] == outcomes[1]
    assert sum(map(len, outcomes[1])) == ROWS - 1


def _pages(transport: Transport, table: str, shard: str, limit: int) -> Iterator[list[Item]]:
    """All that is due but the last, in pages that are not empty: the one after the last may be."""
    after: dict[str, Any] = {}
    while True:
        answer = _asked(
            transport,
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


def test_a_page_ends_at_one_megabyte(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    outcomes = []
    for transport in (aws, model):
        for number in range(5):
            item = JobKey(tenant, "job_large").item(f"page#{number}") | {"body": {"B": bytes(300_000)}}
            _asked(transport, "dynamodb", "PutItem", TableName=settings.table, Item=item)
        first = _query(transport, settings.table, tenant)
        second = _query(transport, settings.table, tenant, ExclusiveStartKey=first["LastEvaluatedKey"])
        # whether the item that is too much belongs to the first, the emulators do not agree
        assert len(first["Items"]) in {3, 4}
        outcomes.append([item["sk"]["S"] for answer in (first, second) for item in answer["Items"]])
    assert outcomes[0] == outcomes[1] == [f"page#{number}" for number in range(5)]


def _query(transport: Transport, table: str, tenant: str, **more: Any) -> Any:
    return _asked(
        transport,
        "dynamodb",
        "Query",
        TableName=table,
        KeyConditionExpression="#p = :p",
        ExpressionAttributeNames={"#p": "pk"},
        ExpressionAttributeValues={":p": {"S": f"{tenant}#job_large"}},
        ConsistentRead=True,
        **more,
    )


def test_batches_of_rows(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    table, keys = settings.table, [JobKey(tenant, f"job_{number}") for number in range(101)]
    outcomes = []
    for transport in (aws, model):
        for key in keys[:99]:
            transport.send(job_items.put_job(table, make_job(tenant=tenant, id=key.id), now=NOW))
        found = [_batch(transport, table, asked) for asked in (keys[:100], keys, [keys[0], keys[0]])]
        gone = {"DeleteRequest": {"Key": keys[0].item()}}
        written = [
            _asked(transport, "dynamodb", "BatchWriteItem", RequestItems={table: batch})
            for batch in ([gone], [gone] * 26)
        ]
        assert written[0]["UnprocessedItems"] == {}
        outcomes.append((found, written[1], _batch(transport, table, keys[:100])))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[1][0][0]) == len(outcomes[1][2]) + 1 == 99


def _batch(transport: Transport, table: str, keys: list[JobKey]) -> Any:
    request = {table: {"Keys": [key.item() for key in keys], "ConsistentRead": True}}
    answer = _asked(transport, "dynamodb", "BatchGetItem", RequestItems=request)
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
    model: ModelTransport, aws: Transport, settings: Settings, tenant: str
) -> None:
    outcomes = []
    for transport in (aws, model):
        key = JobKey(tenant, "job_conditions").item()
        _asked(transport, "dynamodb", "PutItem", TableName=settings.table, Item=key | {"a": {"N": "1"}})
        outcomes.append([_holds(transport, settings.table, key, text) for text in _CONDITIONS])
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[1]) == {True, False}


def _holds(transport: Transport, table: str, key: Item, text: str) -> bool:
    values = {":one": {"N": "1"}, ":two": {"N": "2"}, ":text": {"S": "1"}}
    names = {"#a": "a", "#b": "b"}
    answer = _asked(
        transport,
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


def test_an_item_is_deleted_once(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    outcomes = []
    for transport in (aws, model):
        key = JobKey(tenant, "job_deleted").item()
        _asked(transport, "dynamodb", "PutItem", TableName=settings.table, Item=key)
        answers = [
            _asked(transport, "dynamodb", "DeleteItem", TableName=settings.table, Key=key, ReturnValues="ALL_OLD")
            for _ in range(2)
        ]
        outcomes.append([answer.get("Attributes") for answer in answers])
    assert outcomes[0] == outcomes[1] == [key, None]


def test_batches_of_messages(model: ModelTransport, aws: Transport, tenant: str) -> None:
    # a queue of this test's own: what others have delayed would be counted as well
    urls = (_asked(aws, "sqs", "CreateQueue", QueueName=tenant)["QueueUrl"], "queue")
    outcomes = []
    transports: tuple[Transport, Transport] = (aws, model)
    for transport, url in zip(transports, urls, strict=True):
        sent = _send(transport, url, [f"{tenant}-{n}" for n in range(10)], delays=[0] * 8 + [900, 60])
        counts = _counted(transport, url)
        held = {message.body: message.receipt_handle for message in _receive_all(transport, url)}
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(held.values())]
        flying = _counted(transport, url)
        deleted = _told(_asked(transport, "sqs", "DeleteMessageBatch", QueueUrl=url, Entries=entries))
        refused = [_send(transport, url, bodies, delays=[0] * 11) for bodies in ([], ["a"] * 11)]
        outcomes.append((sent, counts, sorted(held), flying, deleted, refused, _counted(transport, url)))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1][1] == (8, 0, 2)
    assert outcomes[1][3] == (0, 8, 2)


def test_a_batch_with_a_delay_that_sqs_does_not_take(model: ModelTransport) -> None:
    # one of the emulators takes it
    assert _send(model, "queue", ["a", "b"], delays=[901, 900]) == (["1"], ["0"])


def _send(transport: Transport, url: str, bodies: list[str], *, delays: list[int]) -> Any:
    entries = [
        {"Id": str(n), "MessageBody": body, "MessageGroupId": "t", "DelaySeconds": delay}
        for n, (body, delay) in enumerate(zip(bodies, delays, strict=False))
    ]
    return _told(_asked(transport, "sqs", "SendMessageBatch", QueueUrl=url, Entries=entries))


def _told(answer: Any) -> Any:
    if isinstance(answer, str):
        return "refused"
    done, failed = answer.get("Successful", []), answer.get("Failed", [])
    return sorted(one["Id"] for one in done), sorted(one["Id"] for one in failed)


def _receive_all(transport: Transport, url: str) -> Iterator[sqs.ReceivedMessage]:
    while found := transport.send(sqs.receive(url, wait=0, limit=10)):
        yield from found


def _counted(transport: Transport, url: str) -> Any:
    names = ["", "NotVisible", "Delayed"]
    asked = [f"ApproximateNumberOfMessages{name}" for name in names]
    answer = _asked(transport, "sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=asked)
    return tuple(int(answer["Attributes"][name]) for name in asked)


def test_an_object_that_may_not_be_written_over(
    model: ModelTransport, aws: Transport, settings: Settings, tenant: str
) -> None:
    outcomes = []
    for transport in (aws, model):
        asked = {"Bucket": settings.bucket, "Key": f"uploads/{tenant}/once", "Body": b"a", "IfNoneMatch": "*"}
        outcomes.append([_asked(transport, "s3", "PutObject", **asked) for _ in range(2)][1])
    assert outcomes == ["PreconditionFailed"] * 2


def test_keys_are_listed_page_by_page(model: ModelTransport, aws: Transport, settings: Settings, tenant: str) -> None:
    outcomes = []
    for transport in (aws, model):
        prefix, after, pages = f"results/{tenant}/", dict[str, Any](), []
        for number in range(5):
            body = bytes([number])
            sha256 = hashlib.sha256(body).digest()
            transport.send(s3.put(settings.bucket, f"{prefix}{number}", body, content_type="x/y", sha256=sha256))
        while True:
            asked = {"Bucket": settings.bucket, "Prefix": prefix, "MaxKeys": 2, **after}
            answer = _asked(transport, "s3", "ListObjectsV2", **asked)
            pages.append([entry["Key"] for entry in answer["Contents"]])
            if not answer["IsTruncated"]:
                break
            after = {"ContinuationToken": answer["NextContinuationToken"]}
        outcomes.append(pages)
    assert outcomes[0] == outcomes[1]

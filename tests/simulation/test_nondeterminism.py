"""Where AWS may do less than its emulators, the model does."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws import sqs
from coatcheck.core.aws.call import AwsRefused, Call, Service
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import DUE_INDEX, Item, JobKey
from coatcheck.core.clock import SECOND
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob
from coatcheck.core.messages import JobMessage
from tests.job_rows import NOW, make_job
from tests.simulation.dynamodb import PAST
from tests.simulation.model import Model, ModelTransport
from tests.simulation.nondeterminism import Nondeterminism
from tests.simulation.sqs import Queue


def _asked(transport: ModelTransport, service: Service, operation: str, **params: Any) -> Any:
    """The answer as it is."""
    return transport.send(Call(service, operation, params, read=lambda answer: answer))


def _row(number: int) -> Item:
    return JobKey("t", f"job_{number}").item() | {"due_shard": {"S": "due-0"}}


def _free(**nondeterminism: Callable[[], Any]) -> tuple[Model, ModelTransport, list[int]]:
    model, now = Model(chance=random.Random(0), nondeterminism=replace(Nondeterminism(), **nondeterminism)), [NOW]
    return model, ModelTransport(model, lambda: now[0]), now


def test_a_read_that_does_not_ask_for_more_may_be_late() -> None:
    _, transport, now = _free(age=lambda: 2 * SECOND)
    job = make_job(input=Blob.of(b"{}", JSON))
    key = JobKey(job.tenant, job.id)
    transport.send(job_items.put_job("t", job, now=NOW))
    now[0] += SECOND
    assert transport.send(job_items.get_jobs("t", [key])).jobs == []
    assert transport.send(job_items.get_job("t", key)) == job
    now[0] += PAST
    assert transport.send(job_items.get_jobs("t", [key])).jobs == [job]


def test_what_aws_leaves_out_of_a_batch_it_tells() -> None:
    model, transport, _ = _free(leaves_out=iter([True, False] * 50).__next__)
    keys = [JobKey("t", make_id("job", bytes([n]) * 16)) for n in range(5)]
    assert [len(transport.send(job_items.get_jobs("t", keys)).unprocessed) for _ in range(2)] == [2, 2]
    sent = [{"Id": str(n), "MessageBody": JobMessage(tenant="t", job=key.id).job} for n, key in enumerate(keys)]
    answer = _asked(transport, "sqs", "SendMessageBatch", QueueUrl="q", Entries=sent)
    assert len(answer["Successful"]) + len(answer["Failed"]) == 5
    assert len(model.queues.of({"QueueUrl": "q"}).messages) == len(answer["Successful"]) in (2, 3)
    for key in "ab":
        _asked(transport, "s3", "PutObject", Bucket="b", Key=key, Body=b"")
    answer = _asked(transport, "s3", "DeleteObjects", Bucket="b", Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    assert {entry["Key"] for entry in answer["Errors"]} == model.bucket.objects.keys()
    assert len(answer["Errors"]) == 1


def test_an_index_shows_two_items_in_any_order_and_one_in_order() -> None:
    lags = iter([3000, 3000, 1000, 1000, 0, 0])
    model, transport, now = _free(lag=lambda: next(lags))
    table = model.table
    for number, at in ((0, 10), (1, 20), (0, 30)):
        row = _row(number) | {"due_at": {"N": str(at)}}
        _asked(transport, "dynamodb", "PutItem", TableName="t", Item=row)
    shown = []
    for _ in range(4):
        shown.append([int(entry["due_at"]["N"]) for entry in table.indexes[DUE_INDEX].shown("due-0", now[0])])
        now[0] += SECOND
    # each write is noted in two indexes
    assert [sorted(entries) for entries in shown] == [[], [20], [20], [20, 30]]


def test_a_queue_has_so_many_messages_in_flight_and_no_more() -> None:
    queue = Queue(most_in_flight=2)
    for _ in range(3):
        queue.send({"MessageBody": ""}, NOW)
    transport = ModelTransport(Model(), lambda: NOW)
    transport._model.queues.by_url["q"] = queue
    assert [len(transport.send(sqs.receive("q", wait=0))) for _ in range(2)] == [1, 1]
    with pytest.raises(AwsRefused, match="OverLimit"):
        transport.send(sqs.receive("q", wait=0))

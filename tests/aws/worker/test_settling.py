"""A settling write of which the worker hears nothing may have been made all the same."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

import pytest

from coatcheck.authoring.types import Result
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.lifecycle import Status
from coatcheck_worker.boto_transport import Transport
from tests.aws.worker.worker_harness import WorkerHarness

T = TypeVar("T")


class LostReplyTransport:
    """Carries out the write that makes a job `succeeded`, and answers as if it had not."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, call: Call[T]) -> T:
        answer = self._transport.send(call)
        if {"S": Status.SUCCEEDED} in call.params.get("ExpressionAttributeValues", {}).values():
            raise AwsUnavailable(call, "ReadTimeoutError")
        return answer


def test_the_result_of_a_success_nobody_heard_of_is_kept(harness: WorkerHarness) -> None:
    def large(*_: Any) -> Result:
        return Result(secrets.token_bytes(MAX_RESULT_IN_ROW))

    job = harness.submit()
    with pytest.raises(AwsUnavailable):
        harness.run(harness.dependencies(large, LostReplyTransport(harness.transport), Result), job)
    row = harness.row(job)
    assert row.status is Status.SUCCEEDED
    body = harness.transport.send(s3.get(harness.settings.bucket, s3_keys.result_key(row)))
    assert body is not None
    with body:
        assert len(body.read()) == MAX_RESULT_IN_ROW

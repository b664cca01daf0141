"""A settling write of which the worker hears nothing may have been made all the same."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from coatcheck.authoring.types import Result
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.lifecycle import Status
from tests.aws.worker.worker_harness import WorkerHarness
from tests.transports import Fault, FaultyTransport, lose_reply


def is_success(call: Call[Any]) -> bool:
    return {"S": Status.SUCCEEDED} in call.params.get("ExpressionAttributeValues", {}).values()


def test_the_result_of_a_success_nobody_heard_of_is_kept(harness: WorkerHarness) -> None:
    def large(*_: Any) -> Result:
        return Result(secrets.token_bytes(MAX_RESULT_IN_ROW))

    job = harness.submit()
    transport = FaultyTransport(harness.transport, Fault(lose_reply, is_success))
    with pytest.raises(AwsUnavailable):
        harness.run(harness.dependencies(large, transport, Result), job)
    row = harness.row(job)
    assert row.status is Status.SUCCEEDED
    body = harness.transport.send(s3.get(harness.settings.bucket, s3_keys.result_key(row)))
    assert body is not None
    with body:
        assert len(body.read()) == MAX_RESULT_IN_ROW

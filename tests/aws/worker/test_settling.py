"""A settling write of which the worker hears nothing may have been made all the same."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

import pytest

from coatcheck import blobs
from coatcheck.calls import AwsUnavailable, Call
from coatcheck.lifecycle import Status
from coatcheck.table.room import RESULT_IN_ROW
from coatcheck.types import Result
from tests.aws.worker.world import World
from worker.aws import Aws

T = TypeVar("T")


class Silent:
    """Carries out the write that makes a job `succeeded`, and answers as if it had not."""

    def __init__(self, door: Aws) -> None:
        self._door = door

    def send(self, call: Call[T]) -> T:
        answer = self._door.send(call)
        if {"S": Status.SUCCEEDED} in call.params.get("ExpressionAttributeValues", {}).values():
            raise AwsUnavailable(call, "ReadTimeoutError")
        return answer


def test_the_result_of_a_success_nobody_heard_of_is_kept(world: World) -> None:
    def large(*_: Any) -> Result:
        return Result(secrets.token_bytes(RESULT_IN_ROW))

    job = world.submit()
    with pytest.raises(AwsUnavailable):
        world.run(world.tools(large, Silent(world.door), Result), job)
    row = world.row(job)
    assert row.status is Status.SUCCEEDED
    body = world.door.send(blobs.get(world.deployment.bucket, blobs.result_key(row)))
    assert body is not None
    with body:
        assert len(body.read()) == RESULT_IN_ROW

"""A transport that answers without a network: most often that nothing is there, sometimes a row, sometimes an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from coatcheck.core.aws.call import AwsRefused, AwsUnavailable, Call
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from tests.hostile.queue_events.events import CANARY, CANARY_BODY
from tests.job_rows import NOW, make_job

T = TypeVar("T")

NOTHING: Mapping[str, Mapping[str, Any]] = {
    "GetItem": {},
    "Query": {"Items": []},
    "BatchGetItem": {"Responses": {}, "UnprocessedKeys": {}},
    "SendMessage": {"MessageId": "1"},
    "ChangeMessageVisibility": {},
    "ListObjectsV2": {},
    "ListMultipartUploads": {},
}
"""What AWS answers where nothing is there."""

CONDITION_FAILED = "ConditionalCheckFailedException"
ERROR_SHARE = 0.03

_NO_ITEM: dict[str, Any] = {"Error": {"Code": CONDITION_FAILED, "Message": ""}}


@dataclass
class OfflineTransport:
    """Answers each call by chance, but refuses nothing to the canary; keeps the bodies that were put aside."""

    random: Random
    put_aside: list[str] = field(default_factory=list)
    canary_seen: bool = False

    def send(self, call: Call[T]) -> T:
        """Answer. Raises AwsUnavailable and AwsRefused."""
        is_canarys = _names_canary(call)
        self.canary_seen |= is_canarys
        if not is_canarys and self.random.random() < ERROR_SHARE:
            raise self.random.choice((AwsUnavailable, AwsRefused))(call, "made up")
        if call.operation == "SendMessage" and call.params["QueueUrl"].endswith("-dead"):
            self.put_aside.append(call.params["MessageBody"])
        if CONDITION_FAILED in call.expected_errors:
            return call.expected_errors[CONDITION_FAILED](_NO_ITEM if is_canarys else self._condition_failed())
        if call.operation not in NOTHING:
            raise AwsRefused(call, "not made up")
        return call.read(NOTHING[call.operation])

    def _condition_failed(self) -> dict[str, Any]:
        if self.random.random() < 0.3:
            return _NO_ITEM
        status = self.random.choice(tuple(Status))
        item = encode_job(_job(status))
        newer = {SCHEMA: {"N": "99"}} if self.random.random() < 0.1 else {}
        return {**_NO_ITEM, "Item": {**item, **newer}}


def _names_canary(call: Call[Any]) -> bool:
    return CANARY in str(call.params.get("Key")) or call.params.get("MessageBody") == CANARY_BODY


def _job(status: Status) -> Job:
    attempt = 0 if status in {Status.SCHEDULED, Status.QUEUED} else 1
    return make_job(status=status, attempt=attempt, finished_at=NOW if status.final else None)

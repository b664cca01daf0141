"""The flows of several calls: in which order they send, and where they stop."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.flow import run
from coatcheck.core.flows import remove_job
from coatcheck.core.flows.notify import notify_deliverer
from coatcheck.core.flows.remove_job import NotRemoved, remove_items, remove_objects
from coatcheck.core.flows.webhook_key import WebhookKey, endpoint_secret
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.settings import Settings
from coatcheck.core.webhooks import WebhookEndpoint
from tests.job_rows import make_job

T = TypeVar("T")

NOW = 1_800_000_000_000
URLS = '{"default": "https://sqs.test/jobs", "webhooks": "https://sqs.test/webhooks"}'
SETTINGS = Settings.from_env(
    {
        "COATCHECK_TABLE": "table",
        "COATCHECK_BUCKET": "bucket",
        "COATCHECK_QUEUES": URLS,
        "COATCHECK_DEAD_LETTERS": URLS,
        "COATCHECK_WEBHOOK_KEY": "key",
    }
)


@dataclass
class Aws:
    """Answers each operation from a list of its own, the last one again and again; None is an outage."""

    answers: Mapping[str, list[Mapping[str, Any] | None]] = field(default_factory=dict)
    sent: list[Call[Any]] = field(default_factory=list)

    def send(self, call: Call[T]) -> T:
        self.sent.append(call)
        answers = self.answers.get(call.operation, [{}])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise AwsUnavailable(call, "Throttling")
        return call.read(answer)

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.sent]


def job(**changes: Any) -> Job:
    return replace(make_job(now=NOW), **changes)


def items(*sorts: str) -> Mapping[str, Any]:
    return {"Items": [{"pk": {"S": "t#job_1"}, "sk": {"S": sort}} for sort in sorts]}


def objects(*keys: str) -> Mapping[str, Any]:
    return {"Contents": [{"Key": key} for key in keys]}


class TestRemoveItems:
    def test_the_mark_goes_before_the_items_are_looked_for(self) -> None:
        aws = Aws({"Query": [items(f"dlv#{NOW:013d}#1"), items(f"dlv#{NOW:013d}#2"), items()]})
        run(aws, remove_items("table", job(base_url="https://api.test"), now=NOW))
        assert aws.operations == ["PutItem", "Query", "BatchWriteItem", "Query", "BatchWriteItem", "Query"]

    def test_a_job_that_nobody_is_told_of_gets_no_mark(self) -> None:
        aws = Aws({"Query": [items()]})
        run(aws, remove_items("table", job(base_url=None), now=NOW))
        assert aws.operations == ["Query"]

    def test_items_that_stay_are_not_asked_for_for_ever(self) -> None:
        aws = Aws({"Query": [items(f"dlv#{NOW:013d}#1")]})
        with pytest.raises(NotRemoved, match="pages of items"):
            run(aws, remove_items("table", job(), now=NOW))
        assert aws.operations.count("BatchWriteItem") == remove_job.MAX_ROUNDS


class TestRemoveObjects:
    def test_pages_are_removed_until_none_is_left(self) -> None:
        aws = Aws({"ListObjectsV2": [objects("a", "b"), objects("c"), objects()]})
        run(aws, remove_objects("bucket", "prefix/"))
        assert aws.operations == ["ListObjectsV2", "DeleteObjects"] * 2 + ["ListObjectsV2"]

    def test_what_the_next_job_of_the_id_has_stays(self) -> None:
        ours, next_one = (f"results/t/job_1/{at:013d}/1/result" for at in (NOW, NOW + 10))
        aws = Aws({"ListObjectsV2": [objects(ours, next_one), objects(next_one)]})
        run(aws, remove_objects("bucket", "results/t/job_1/", left_by=job(expires_at=NOW + 5)))
        (deleted,) = (call for call in aws.sent if call.operation == "DeleteObjects")
        assert deleted.params["Delete"]["Objects"] == [{"Key": ours}]

    def test_what_s3_does_not_delete_is_said(self) -> None:
        errors = {"Errors": [{"Key": "a", "Code": "InternalError"}]}
        aws = Aws({"ListObjectsV2": [objects("a")], "DeleteObjects": [errors]})
        with pytest.raises(NotRemoved, match="S3 does not delete 1 objects: InternalError"):
            run(aws, remove_objects("bucket", "prefix/"))
        assert aws.operations == ["ListObjectsV2", "DeleteObjects"]


class TestNotify:
    ENDED: Mapping[str, Any] = {"status": Status.SUCCEEDED, "notify": ("job.succeeded",)}

    def test_a_pending_event_is_a_message_in_the_lane_of_webhooks(self) -> None:
        aws = Aws()
        run(aws, notify_deliverer(SETTINGS, job(**self.ENDED)))
        assert [call.params["QueueUrl"] for call in aws.sent] == ["https://sqs.test/webhooks"]

    def test_without_a_pending_event_nothing_is_sent(self) -> None:
        aws = Aws()
        run(aws, notify_deliverer(SETTINGS, job(notify=("job.succeeded",))))
        assert aws.sent == []

    def test_a_message_that_cannot_be_sent_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        ended = job(**self.ENDED)
        run(Aws({"SendMessage": [None]}), notify_deliverer(SETTINGS, ended))
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith(f"{ended.id}: no message was sent")


class TestWebhookKey:
    def test_it_is_read_once_and_an_outage_is_not_kept(self) -> None:
        aws, key = Aws({"GetSecretValue": [None, {"SecretString": "secret"}]}), WebhookKey()
        with pytest.raises(AwsUnavailable):
            run(aws, key.read("key"))
        assert [run(aws, key.read("key")) for _ in range(2)] == [b"secret"] * 2
        assert len(aws.sent) == 2

    def test_it_is_not_shown(self) -> None:
        assert "secret" not in repr(WebhookKey(b"secret"))

    def test_each_generation_has_a_secret_of_its_own(self) -> None:
        endpoint = WebhookEndpoint("t", "whe_1", "https://a.example", (), created_at=0)
        first, second = (endpoint_secret(b"k" * 32, endpoint, generation) for generation in (1, 2))
        assert first != second
        assert first.startswith("whsec_")

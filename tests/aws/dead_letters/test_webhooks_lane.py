"""The dead letters of webhooks."""

from __future__ import annotations

from coatcheck.core.messages import DeliveryMessage
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import DeliveryKey, DeliveryStatus
from tests.aws.dead_letters.dead_letter_harness import DeadLetterHarness, message_of


class TestWebhooks:
    """In their lane a message is about a job that somebody is to be told of, or about one delivery."""

    def test_both_kinds_are_shown_with_what_their_rows_say(self, dlq: DeadLetterHarness) -> None:
        announced, unannounced = dlq.submit_done(), dlq.submit_done(notify=("job.succeeded",))
        pending, failed = dlq.put_delivery(announced), dlq.put_delivery(announced, DeliveryStatus.FAILED)
        gone = dlq.put_delivery_message(DeliveryKey("t", "whe_of-a-test", 1, "dlv_gone"))
        dlq.put("garbage", lane=WEBHOOKS)

        shown = dlq.listed()
        assert {one["lane"] for one in shown} == {WEBHOOKS}
        assert {(one["job"], one["delivery"]): (one["status"], one["attempt"]) for one in shown} == {
            (announced.id, None): ("succeeded", 1),
            (unannounced.id, None): ("succeeded", 1),
            (announced.id, pending.delivery): ("pending", 3),
            (announced.id, failed.delivery): ("failed", 3),
            ("whe_of-a-test", gone.delivery): ("not there", None),
            (None, None): ("cannot be read", None),
        }

    def test_what_is_still_to_be_told_is_woken_again(self, dlq: DeadLetterHarness) -> None:
        announced, unannounced = dlq.submit_done(), dlq.submit_done(notify=("job.succeeded",))
        pending, _ = dlq.put_delivery(announced), dlq.put_delivery(announced, DeliveryStatus.DELIVERED)
        gone = dlq.put_delivery_message(DeliveryKey("t", "job_x", 1, "dlv_gone"))
        assert dlq.redrive() == "redriven 2, dropped 2 that are finished, left 1 whose row is not there"
        assert sorted(dlq.queued(WEBHOOKS)) == sorted([message_of(unannounced), pending.model_dump_json()])
        assert dlq.dead(WEBHOOKS) == [gone.model_dump_json()]
        assert dlq.queued() == []

    def test_only_the_deliveries_of_a_job(self, dlq: DeadLetterHarness) -> None:
        one, other = dlq.harness.submit(due_at=None), dlq.harness.submit(due_at=None)
        wanted, unwanted = dlq.put_delivery(one), dlq.put_delivery(other)
        assert dlq.redrive(jobs=frozenset({one.id})) == "redriven 1"
        assert dlq.queued(WEBHOOKS) == [wanted.model_dump_json()]
        assert dlq.dead(WEBHOOKS) == [unwanted.model_dump_json()]

    def test_a_delivery_in_another_lane_cannot_be_read(self, dlq: DeadLetterHarness) -> None:
        dlq.put(DeliveryMessage(tenant="t", of="job_x", made=1, delivery="dlv_1", endpoint="whe_1").model_dump_json())
        assert [one["status"] for one in dlq.listed()] == ["cannot be read"]

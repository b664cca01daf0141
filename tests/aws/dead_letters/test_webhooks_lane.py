"""The dead letters of webhooks."""

from __future__ import annotations

from coatcheck.deployment import WEBHOOKS
from coatcheck.messages import DeliveryMessage
from coatcheck.webhooks import DeliveryKey, DeliveryStatus
from tests.aws.dead_letters.post import Post, message_of


class TestWebhooks:
    """In their lane a message is about a job that somebody is to be told of, or about one delivery."""

    def test_both_kinds_are_shown_with_what_their_rows_say(self, post: Post) -> None:
        told, untold = post.submit_done(), post.submit_done(notify=("job.succeeded",))
        pending, failed = post.put_delivery(told), post.put_delivery(told, DeliveryStatus.FAILED)
        gone = post.put_delivery_message(DeliveryKey("t", "whe_of-a-test", 1, "dlv_gone"))
        post.put("garbage", lane=WEBHOOKS)

        shown = post.listed()
        assert {one["lane"] for one in shown} == {WEBHOOKS}
        assert {(one["job"], one["delivery"]): (one["status"], one["attempt"]) for one in shown} == {
            (told.id, None): ("succeeded", 1),
            (untold.id, None): ("succeeded", 1),
            (told.id, pending.delivery): ("pending", 3),
            (told.id, failed.delivery): ("failed", 3),
            ("whe_of-a-test", gone.delivery): ("not there", None),
            (None, None): ("cannot be read", None),
        }

    def test_what_is_still_to_be_told_is_woken_again(self, post: Post) -> None:
        told, untold = post.submit_done(), post.submit_done(notify=("job.succeeded",))
        pending, _ = post.put_delivery(told), post.put_delivery(told, DeliveryStatus.DELIVERED)
        gone = post.put_delivery_message(DeliveryKey("t", "job_x", 1, "dlv_gone"))
        assert post.redrive() == "redriven 2, dropped 2 that are finished, left 1 whose row is not there"
        assert sorted(post.queued(WEBHOOKS)) == sorted([message_of(untold), pending.model_dump_json()])
        assert post.left(WEBHOOKS) == [gone.model_dump_json()]
        assert post.queued() == []

    def test_only_the_deliveries_of_a_job(self, post: Post) -> None:
        one, other = post.world.submit(due_at=None), post.world.submit(due_at=None)
        wanted, unwanted = post.put_delivery(one), post.put_delivery(other)
        assert post.redrive(jobs=frozenset({one.id})) == "redriven 1"
        assert post.queued(WEBHOOKS) == [wanted.model_dump_json()]
        assert post.left(WEBHOOKS) == [unwanted.model_dump_json()]

    def test_a_delivery_in_another_lane_cannot_be_read(self, post: Post) -> None:
        post.put(DeliveryMessage(tenant="t", of="job_x", made=1, delivery="dlv_1", endpoint="whe_1").model_dump_json())
        assert [one["status"] for one in post.listed()] == ["cannot be read"]

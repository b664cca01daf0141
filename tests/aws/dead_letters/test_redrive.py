"""What a redrive does with each kind of dead letter."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coatcheck.calls import AwsUnavailable, Call
from coatcheck.clock import SECOND
from coatcheck.lifecycle import Status
from coatcheck.queues import receive
from infra.dead_letters.letters import SKEW, Timing
from infra.dead_letters.redrive import Order, Redrive
from tests.aws.dead_letters.post import AT_ONCE, Arriving, Post, make_newer, message_of
from tests.aws.worker.doors import Counting, Died, Mortal, Refusing
from tests.journeys.running import eventually
from worker.tools import system_clock

OPERATE = Path(__file__).parents[3] / "docs" / "operate.md"


class TestRedrive:
    def test_unfinished_jobs_are_woken_and_finished_ones_dropped(self, post: Post) -> None:
        woken = [post.put_job(), post.put_job(Status.RUNNING), post.put_job(Status.SCHEDULED), post.put_job()]
        make_newer(post, woken[-1])
        post.put_job(Status.FAILED)
        assert post.redrive() == "redriven 4, dropped 1 that are finished"
        assert sorted(post.queued()) == sorted(map(message_of, woken))
        assert post.left() == []

    def test_what_cannot_be_read_is_left_unless_told_otherwise(self, post: Post) -> None:
        newer = '{"v": 2, "tenant": "t"}'
        for body in ("garbage", '{"v": 1, "tenant": "t", "job": "job_x"}', newer):
            post.put(body)
        assert post.redrive() == (
            "redriven 0, left 1 that cannot be read, left 1 whose row is not there, left 1 of a newer version"
        )
        assert len(post.left()) == 3
        assert post.redrive(drop_unreadable=True) == (
            "redriven 0, left 1 of a newer version, dropped 1 that cannot be read, dropped 1 whose row is not there"
        )
        assert post.left() == [newer]
        assert post.queued() == []

    def test_a_dry_run_changes_nothing(self, post: Post) -> None:
        post.put_job()
        post.put_job(Status.SUCCEEDED)
        post.put("garbage")
        counting = Counting(post.place.aws)
        said = post.redrive(counting, dry_run=True, drop_unreadable=True)
        assert said == (
            "nothing was changed; without --dry-run: "
            "redriven 1, dropped 1 that are finished, dropped 1 that cannot be read"
        )
        assert not {"SendMessage", "DeleteMessage"} & set(counting.operations)
        assert len(post.left()) == 3

    def test_it_needs_what_the_page_says(self, post: Post) -> None:
        counting = Counting(post.place.aws)
        post.put_job()
        post.put("garbage")
        post.redrive(counting)
        said = re.findall(r"`(?:sqs|dynamodb):(\w+)`", OPERATE.read_text(encoding="utf-8"))
        assert set(counting.operations) == set(said)

    def test_only_the_jobs_that_are_asked_for(self, post: Post) -> None:
        wanted, other = post.put_job(), post.put_job()
        post.put("garbage")
        assert post.redrive(jobs=frozenset({wanted.id}), drop_unreadable=True) == "redriven 1"
        assert post.queued() == [message_of(wanted)]
        assert sorted(post.left()) == sorted(["garbage", message_of(other)])

    def test_the_limit_counts_what_is_done(self, post: Post) -> None:
        post.put("garbage")
        for _ in range(5):
            post.put_job()
        assert post.redrive(limit=2) in {"redriven 2", "redriven 2, left 1 that cannot be read"}
        assert len(post.queued()) == 2
        assert len(post.left()) == 4

    def test_it_pauses_between_two(self, post: Post) -> None:
        for _ in range(4):
            post.put_job()
        post.put_job(Status.SUCCEEDED)
        paused: list[float] = []
        post.redrive(timing=replace(AT_ONCE, pause=paused.append), rate=4)
        assert paused == [0.25] * 3

    @pytest.mark.parametrize(("rate", "batch"), [(0.1, 1), (0.2, 3), (10, 10), (1000, 10)])
    def test_no_more_are_held_than_are_dealt_with_in_time(self, post: Post, rate: float, batch: int) -> None:
        counting = Counting(post.place.aws)
        post.redrive(counting, rate=rate)
        assert [call.params["MaxNumberOfMessages"] for call in counting.calls] == [batch] * len(post.lanes)

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("at", range(4), ids=["receive", "look", "send", "delete"])
    def test_dying_anywhere_loses_nothing(self, post: Post, at: int, *, after: bool) -> None:
        job = post.put_job()
        with pytest.raises(Died):
            post.redrive(Mortal(post.place.aws, at, after=after))
        # a process that died lets go of nothing, its hold ends by itself: what is held counts
        assert post.queued() in ([], [message_of(job)])
        assert len(post.queued()) + sum(post.counts()) >= 1

    def test_interrupted_it_tells_what_was_done_and_hides_nothing(self, post: Post) -> None:
        for _ in range(5):
            post.put_job()

        def interrupted(_: float) -> None:
            raise KeyboardInterrupt

        run = Redrive(post.place, Order(), replace(AT_ONCE, pause=interrupted))
        with pytest.raises(KeyboardInterrupt):
            run.go_through(post.lanes)
        assert run.summary() == "redriven 1"
        assert (len(post.queued()), len(post.left())) == (1, 4)

    def test_a_refusal_of_aws_ends_it_with_what_was_done(self, post: Post) -> None:
        jobs = [post.put_job() for _ in range(3)]
        sent: list[str] = []

        def third_send(call: Call[Any]) -> bool:
            if call.operation == "SendMessage":
                sent.append(call.operation)
            return call.operation == "SendMessage" and len(sent) == 3

        run = Redrive(replace(post.place, aws=Refusing(post.place.aws, third_send)), Order(), AT_ONCE)
        with pytest.raises(AwsUnavailable):
            run.go_through(post.lanes)
        assert run.summary() == "redriven 2"
        assert (len(post.queued()), len(post.left())) == (2, 1)
        assert sorted([*post.queued(), *post.left()]) == sorted(map(message_of, jobs))

    def test_two_at_once_leave_none_out(self, post: Post) -> None:
        """SQS may hand one message to both; a job that is woken twice runs once."""
        jobs = [post.put_job() for _ in range(30)]
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda _: post.redrive(rate=1000), range(2)))
        queued = post.queued()
        assert sum(int(line.split()[1]) for line in said) == len(queued)
        assert set(queued) == set(map(message_of, jobs))
        assert len(queued) < 2 * len(jobs)
        assert post.left() == []

    def test_it_ends_though_messages_keep_arriving(self, post: Post) -> None:
        post.put_job()
        (first,) = post.place.aws.send(receive(post.lanes["default"], wait=0, hold=0))
        eventually(lambda: system_clock() > first.sent_at, 5)
        ticks = iter(range(first.sent_at - SKEW, first.sent_at, SECOND))
        arriving = Arriving(post)
        said = post.redrive(arriving, Timing(lambda: next(ticks), lambda _: None, patience=6))
        assert said == "redriven 1"
        assert arriving.count > 6
        assert len(post.left()) == arriving.count

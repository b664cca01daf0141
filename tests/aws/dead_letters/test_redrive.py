"""What a redrive does with each kind of dead letter."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from coatcheck.core.aws.call import AwsUnavailable
from coatcheck.core.aws.sqs import receive
from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.lifecycle import Status
from coatcheck_infra.ops.dead_letters.queue_reader import SKEW, Timing
from coatcheck_infra.ops.dead_letters.redrive import Redrive, RedriveOptions
from tests.aws.dead_letters.dead_letter_harness import (
    AT_ONCE,
    DeadLetterHarness,
    make_newer,
    message_of,
)
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, on, send_after, throttle
from tests.waiting import eventually

OPERATE = Path(__file__).parents[3] / "docs" / "operate.md"


class TestRedrive:
    def test_unfinished_jobs_are_woken_and_finished_ones_dropped(self, dlq: DeadLetterHarness) -> None:
        woken = [dlq.put_job(), dlq.put_job(Status.RUNNING), dlq.put_job(Status.SCHEDULED), dlq.put_job()]
        make_newer(dlq, woken[-1])
        dlq.put_job(Status.FAILED)
        assert dlq.redrive() == "redriven 4, dropped 1 that are finished"
        assert sorted(dlq.queued()) == sorted(map(message_of, woken))
        assert dlq.dead() == []

    def test_what_cannot_be_read_is_left_unless_told_otherwise(self, dlq: DeadLetterHarness) -> None:
        newer = '{"v": 2, "tenant": "t"}'
        for body in ("garbage", '{"v": 1, "tenant": "t", "job": "job_x"}', newer):
            dlq.put(body)
        assert dlq.redrive() == (
            "redriven 0, left 1 that cannot be read, left 1 whose row is not there, left 1 of a newer version"
        )
        assert len(dlq.dead()) == 3
        assert dlq.redrive(drop_unreadable=True) == (
            "redriven 0, left 1 of a newer version, dropped 1 that cannot be read, dropped 1 whose row is not there"
        )
        assert dlq.dead() == [newer]
        assert dlq.queued() == []

    def test_a_dry_run_changes_nothing(self, dlq: DeadLetterHarness) -> None:
        dlq.put_job()
        dlq.put_job(Status.SUCCEEDED)
        dlq.put("garbage")
        counting = FaultyTransport(dlq.target.aws)
        said = dlq.redrive(counting, dry_run=True, drop_unreadable=True)
        assert said == (
            "nothing was changed; without --dry-run: "
            "redriven 1, dropped 1 that are finished, dropped 1 that cannot be read"
        )
        assert not {"SendMessage", "DeleteMessage"} & set(counting.operations)
        assert len(dlq.dead()) == 3

    def test_it_needs_what_the_page_says(self, dlq: DeadLetterHarness) -> None:
        counting = FaultyTransport(dlq.target.aws)
        dlq.put_job()
        dlq.put("garbage")
        dlq.redrive(counting)
        section = OPERATE.read_text(encoding="utf-8").partition("\n## Dead letters\n")[2].partition("\n## ")[0]
        said = re.findall(r"`(?:sqs|dynamodb):(\w+)`", section)
        assert set(counting.operations) == set(said)

    def test_only_the_jobs_that_are_asked_for(self, dlq: DeadLetterHarness) -> None:
        wanted, other = dlq.put_job(), dlq.put_job()
        dlq.put("garbage")
        assert dlq.redrive(jobs=frozenset({wanted.id}), drop_unreadable=True) == "redriven 1"
        assert dlq.queued() == [message_of(wanted)]
        assert sorted(dlq.dead()) == sorted(["garbage", message_of(other)])

    def test_the_limit_counts_what_is_done(self, dlq: DeadLetterHarness) -> None:
        dlq.put("garbage")
        for _ in range(5):
            dlq.put_job()
        assert dlq.redrive(limit=2) in {"redriven 2", "redriven 2, left 1 that cannot be read"}
        assert len(dlq.queued()) == 2
        assert len(dlq.dead()) == 4

    def test_it_pauses_between_two(self, dlq: DeadLetterHarness) -> None:
        for _ in range(4):
            dlq.put_job()
        dlq.put_job(Status.SUCCEEDED)
        paused: list[float] = []
        dlq.redrive(timing=replace(AT_ONCE, pause=paused.append), rate=4)
        assert paused == [0.25] * 3

    @pytest.mark.parametrize(("rate", "batch"), [(0.1, 1), (0.2, 3), (10, 10), (1000, 10)])
    def test_no_more_are_held_than_are_dealt_with_in_time(
        self, dlq: DeadLetterHarness, rate: float, batch: int
    ) -> None:
        counting = FaultyTransport(dlq.target.aws)
        dlq.redrive(counting, rate=rate)
        assert [call.params["MaxNumberOfMessages"] for call in counting.calls] == [batch] * len(dlq.lanes)

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("at", range(4), ids=["receive", "look", "send", "delete"])
    def test_dying_anywhere_loses_nothing(self, dlq: DeadLetterHarness, at: int, *, after: bool) -> None:
        job = dlq.put_job()
        with pytest.raises(ProcessDied):
            dlq.redrive(crash_at(dlq.target.aws, at, after=after))
        # a process that died lets go of nothing, its hold ends by itself: what is held counts
        assert dlq.queued() in ([], [message_of(job)])
        assert len(dlq.queued()) + sum(dlq.counts()) >= 1

    def test_interrupted_it_tells_what_was_done_and_hides_nothing(self, dlq: DeadLetterHarness) -> None:
        for _ in range(5):
            dlq.put_job()

        def interrupted(_: float) -> None:
            raise KeyboardInterrupt

        run = Redrive(dlq.target, RedriveOptions(), replace(AT_ONCE, pause=interrupted))
        with pytest.raises(KeyboardInterrupt):
            run.process_lanes(dlq.lanes)
        assert run.summary() == "redriven 1"
        assert (len(dlq.queued()), len(dlq.dead())) == (1, 4)

    def test_a_refusal_of_aws_ends_it_with_what_was_done(self, dlq: DeadLetterHarness) -> None:
        jobs = [dlq.put_job() for _ in range(3)]
        third_send = Fault(throttle, on("SendMessage"), skip=2, times=1)
        run = Redrive(replace(dlq.target, aws=FaultyTransport(dlq.target.aws, third_send)), RedriveOptions(), AT_ONCE)
        with pytest.raises(AwsUnavailable):
            run.process_lanes(dlq.lanes)
        assert run.summary() == "redriven 2"
        assert (len(dlq.queued()), len(dlq.dead())) == (2, 1)
        assert sorted([*dlq.queued(), *dlq.dead()]) == sorted(map(message_of, jobs))

    def test_two_at_once_leave_none_out(self, dlq: DeadLetterHarness) -> None:
        """SQS may hand one message to both; a job that is woken twice runs once."""
        jobs = [dlq.put_job() for _ in range(30)]
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda _: dlq.redrive(rate=1000), range(2)))
        queued = dlq.queued()
        assert sum(int(line.split()[1]) for line in said) == len(queued)
        assert set(queued) == set(map(message_of, jobs))
        assert len(queued) < 2 * len(jobs)
        assert dlq.dead() == []

    def test_it_ends_though_messages_keep_arriving(self, dlq: DeadLetterHarness) -> None:
        dlq.put_job()
        (first,) = dlq.target.aws.send(receive(dlq.lanes["default"], wait=0, visibility_timeout=0))
        eventually(lambda: system_clock() > first.sent_at, 5)
        ticks = iter(range(first.sent_at - SKEW, first.sent_at, SECOND))
        arriving = FaultyTransport(dlq.target.aws, Fault(send_after(lambda: dlq.put("garbage")), on("ReceiveMessage")))
        said = dlq.redrive(arriving, Timing(lambda: next(ticks), lambda _: None, idle_timeout=6))
        assert said == "redriven 1"
        arrived = arriving.operations.count("ReceiveMessage")
        assert arrived > 6
        assert len(dlq.dead()) == arrived

"""What an owner is shown of dead letters."""

from __future__ import annotations

from dataclasses import replace

from coatcheck.core.aws.sqs import receive
from coatcheck.core.clock import HOUR, SECOND, system_clock
from coatcheck.core.lifecycle import Status
from coatcheck_infra.ops.dead_letters.operations import read_dead_letters, table_row
from tests.aws.dead_letters.dead_letter_harness import AT_ONCE, DeadLetterHarness, end_hold, make_newer
from tests.transports import Fault, FaultyTransport, on


class TestList:
    def test_each_kind_is_shown_with_what_its_row_says(self, dlq: DeadLetterHarness) -> None:
        waiting, running = dlq.put_job(), dlq.put_job(Status.RUNNING, attempt=2)
        finished, newer = dlq.put_job(Status.SUCCEEDED, attempt=1), dlq.put_job()
        make_newer(dlq, newer)
        dlq.put('{"v": 1, "tenant": "t", "job": "job_x"}', "it names no job")
        dlq.put('{"v": 2, "tenant": "t"}')
        dlq.put("not JSON", "cannot be read: body")

        shown = {(one["job"], one["status"]): one for one in dlq.listed()}
        assert {known: one["attempt"] for known, one in shown.items()} == {
            (waiting.id, "queued"): 0,
            (running.id, "running"): 2,
            (finished.id, "succeeded"): 1,
            (newer.id, "newer version"): None,
            ("job_x", "not there"): None,
            (None, "newer message"): None,
            (None, "cannot be read"): None,
        }
        assert shown["job_x", "not there"]["reason"] == "it names no job"
        assert shown[waiting.id, "queued"]["tenant"] == waiting.tenant
        assert shown[None, "cannot be read"]["reason"] == "cannot be read: body"

    def test_the_body_is_shown_only_of_what_cannot_be_read_and_its_beginning_only(self, dlq: DeadLetterHarness) -> None:
        dlq.put("é\n" + "x" * 300)
        dlq.put_job()
        bodies = [one.get("body") for one in dlq.listed()]
        assert sorted(map(str, bodies)) == ["None", "é" + "x" * 199]

    def test_a_row_of_the_table(self, dlq: DeadLetterHarness) -> None:
        job = dlq.put_job(attempt=1)
        (dead_letter,) = read_dead_letters(dlq.target, dlq.lanes, AT_ONCE)
        sent = dead_letter.received.sent_at
        assert abs(sent - system_clock()) < 60 * SECOND
        shown = table_row(dead_letter, sent + 3 * HOUR)
        assert shown[0] == "default"
        assert shown[2:] == ["3 h", 1, job.id, job.tenant, "queued", 1, "tried"]

    def test_nothing_is_hidden_or_gone_afterwards(self, dlq: DeadLetterHarness) -> None:
        for n in range(12):
            dlq.put(f"garbage {n}")
        assert len(dlq.listed()) == 12
        assert len(dlq.dead()) == 12
        assert dlq.queued() == []

    def test_reading_broken_off_hides_nothing(self, dlq: DeadLetterHarness) -> None:
        for n in range(3):
            dlq.put(f"garbage {n}")
        dead_letters = read_dead_letters(dlq.target, dlq.lanes, AT_ONCE)
        assert next(dead_letters).kind == "cannot be read"
        dead_letters.close()  # type: ignore[attr-defined]
        assert len(dlq.dead()) == 3

    def test_what_comes_again_is_shown_once(self, dlq: DeadLetterHarness) -> None:
        dlq.put("garbage")
        target = replace(
            dlq.target, aws=FaultyTransport(dlq.target.aws, Fault(end_hold, on("ReceiveMessage"), times=3))
        )
        assert [dead_letter.received.body for dead_letter in read_dead_letters(target, dlq.lanes, AT_ONCE)] == [
            "garbage"
        ]

    def test_what_the_sweeper_holds_is_waited_for(self, dlq: DeadLetterHarness) -> None:
        dlq.put("garbage")
        assert dlq.target.aws.send(receive(dlq.lanes["default"], wait=0, visibility_timeout=1))
        assert dlq.listed() == []
        found = list(read_dead_letters(dlq.target, dlq.lanes, replace(AT_ONCE, idle_timeout=2)))
        assert [dead_letter.received.body for dead_letter in found] == ["garbage"]

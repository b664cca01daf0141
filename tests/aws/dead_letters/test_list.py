"""What an owner is shown of dead letters."""

from __future__ import annotations

from dataclasses import replace

from coatcheck.clock import HOUR, SECOND
from coatcheck.lifecycle import Status
from coatcheck.queues import receive
from infra.dead_letters.program import letters_of, row
from tests.aws.dead_letters.post import AT_ONCE, Post, Slow, make_newer
from worker.tools import system_clock


class TestList:
    def test_each_kind_is_shown_with_what_its_row_says(self, post: Post) -> None:
        waiting, running = post.put_job(), post.put_job(Status.RUNNING, attempt=2)
        finished, newer = post.put_job(Status.SUCCEEDED, attempt=1), post.put_job()
        make_newer(post, newer)
        post.put('{"v": 1, "tenant": "t", "job": "job_x"}', "it names no job")
        post.put('{"v": 2, "tenant": "t"}')
        post.put("not JSON", "cannot be read: body")

        shown = {(one["job"], one["status"]): one for one in post.listed()}
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

    def test_the_body_is_shown_only_of_what_cannot_be_read_and_its_beginning_only(self, post: Post) -> None:
        post.put("é\n" + "x" * 300)
        post.put_job()
        bodies = [one.get("body") for one in post.listed()]
        assert sorted(map(str, bodies)) == ["None", "é" + "x" * 199]

    def test_a_row_of_the_table(self, post: Post) -> None:
        job = post.put_job(attempt=1)
        (letter,) = letters_of(post.place, post.lanes, AT_ONCE)
        sent = letter.received.sent_at
        assert abs(sent - system_clock()) < 60 * SECOND
        shown = row(letter, sent + 3 * HOUR)
        assert shown[0] == "default"
        assert shown[2:] == ["3 h", 1, job.id, job.tenant, "queued", 1, "tried"]

    def test_nothing_is_hidden_or_gone_afterwards(self, post: Post) -> None:
        for n in range(12):
            post.put(f"garbage {n}")
        assert len(post.listed()) == 12
        assert len(post.left()) == 12
        assert post.queued() == []

    def test_reading_broken_off_hides_nothing(self, post: Post) -> None:
        for n in range(3):
            post.put(f"garbage {n}")
        letters = letters_of(post.place, post.lanes, AT_ONCE)
        assert next(letters).kind == "cannot be read"
        letters.close()  # type: ignore[attr-defined]
        assert len(post.left()) == 3

    def test_what_comes_again_is_shown_once(self, post: Post) -> None:
        post.put("garbage")
        place = replace(post.place, aws=Slow(post.place.aws))
        assert [letter.received.body for letter in letters_of(place, post.lanes, AT_ONCE)] == ["garbage"]

    def test_what_the_sweeper_holds_is_waited_for(self, post: Post) -> None:
        post.put("garbage")
        assert post.place.aws.send(receive(post.lanes["default"], wait=0, hold=1))
        assert post.listed() == []
        found = list(letters_of(post.place, post.lanes, replace(AT_ONCE, patience=2)))
        assert [letter.received.body for letter in found] == ["garbage"]

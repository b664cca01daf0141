"""Threads that one endpoint cannot hold all of."""

from __future__ import annotations

import threading
from collections import Counter

from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import Received
from worker.webhooks.pool import Pool

WAIT = 10.0


def message(endpoint: str, number: int) -> Received:
    body = DeliveryMessage(tenant="t", of="job_1", made=1, delivery=f"dlv_{number}", endpoint=f"whe_{endpoint}")
    return Received("queue", "handle", body.model_dump_json(), f"{endpoint}{number}")


class Stage:
    """Attends to messages: those of the endpoint `slow` wait until they are let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.attended: list[str] = []
        self.turned_away: list[str] = []
        self.most: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()
        self._changed = threading.Condition()

    def attend(self, received: Received) -> None:
        endpoint = received.message_id.rstrip("0123456789")
        with self._changed:
            self._at_work[endpoint] += 1
            self.most[endpoint] = max(self.most[endpoint], self._at_work[endpoint])
        if endpoint == "slow":
            self.let_go.wait(WAIT)
        with self._changed:
            self._at_work[endpoint] -= 1
            self.attended.append(received.message_id)
            self._changed.notify_all()

    def turn_away(self, received: Received) -> None:
        with self._changed:
            self.turned_away.append(received.message_id)
            self._changed.notify_all()

    def await_attended(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.attended) >= count, WAIT)


def pool(stage: Stage, threads: int = 8, share: int = 2, waiting: int = 3) -> Pool:
    return Pool(threads, share, attend=stage.attend, turn_away=stage.turn_away, waiting=waiting)


def test_who_is_slow_holds_its_share_and_the_others_go_on() -> None:
    stage = Stage()
    with pool(stage) as here:
        for number in range(9):
            here.take(message("slow", number))
        for number in range(20):
            here.take(message("good", number))
        assert here.room() > 0
        stage.await_attended(5)
        stage.let_go.set()
    assert stage.most["slow"] == 2
    assert stage.most["good"] <= 2
    slow = [one for one in stage.attended if one.startswith("slow")]
    assert len(slow) == 5
    assert sorted(stage.turned_away)[-4:] == [f"slow{number}" for number in range(5, 9)]
    assert len(stage.attended) + len(stage.turned_away) == 29


def test_what_waits_is_turned_away_when_there_will_be_no_turn() -> None:
    stage = Stage()
    with pool(stage) as here:
        for number in range(4):
            here.take(message("slow", number))
        here.turn_away_waiting()
        stage.let_go.set()
    assert sorted(stage.attended) == ["slow0", "slow1"]
    assert stage.turned_away == ["slow2", "slow3"]


def test_what_calls_nobody_is_not_counted() -> None:
    stage = Stage()
    body = JobMessage(tenant="t", job="job_1").model_dump_json()
    received = [Received("queue", "handle", text, f"slow{n}") for n, text in enumerate([body, body, body, "{"])]
    with pool(stage, threads=4) as here:
        for one in received:
            here.take(one)
        stage.let_go.set()
    assert len(stage.attended) == 4


def test_there_is_no_room_while_all_threads_are_at_work() -> None:
    stage = Stage()
    rooms: list[int] = []
    with pool(stage, threads=2, share=2) as here:
        assert here.room() == 2
        here.take(message("slow", 0))
        assert here.room() == 1
        here.take(message("slow", 1))
        asking = threading.Thread(target=lambda: rooms.append(here.room()))
        asking.start()
        asking.join(0.1)
        assert rooms == []
        stage.let_go.set()
        asking.join(WAIT)
        assert rooms[0] >= 1


def test_one_that_fails_takes_no_thread_with_it() -> None:
    done: list[str] = []

    def attend(received: Received) -> None:
        if received.message_id.startswith("bad"):
            raise KeyError("a bug")
        done.append(received.message_id)

    with Pool(1, 1, attend=attend, turn_away=attend, waiting=9) as here:
        for one in (message("bad", 1), message("bad", 2), message("good", 3)):
            here.room()
            here.take(one)
    assert done == ["good3"]

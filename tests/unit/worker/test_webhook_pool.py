"""Threads that neither one endpoint nor one tenant can hold all of."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import Received
from worker.webhooks.pool import Pool, Shares

WAIT = 10.0


def message(endpoint: str, number: int, tenant: str = "t") -> Received:
    body = DeliveryMessage(tenant=tenant, of="job_1", made=1, delivery=f"dlv_{number}", endpoint=f"whe_{endpoint}")
    return Received("queue", "handle", body.model_dump_json(), f"{endpoint}{number}")


class Stage:
    """Attends to messages: those of endpoints whose name begins with `slow` wait until they are let go."""

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
        if endpoint.startswith("slow"):
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


TWO_OF_AN_ENDPOINT = Shares(endpoint=2, endpoint_waiting=3, tenant=99, tenant_waiting=99)


def pool(stage: Stage, threads: int = 8, shares: Shares = TWO_OF_AN_ENDPOINT) -> Pool:
    return Pool(threads, shares, attend=stage.attend, turn_away=stage.turn_away)


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


def test_a_tenant_whose_receivers_are_all_slow_leaves_half_to_the_others() -> None:
    stage = Stage()
    with pool(stage, shares=Shares(2, 3, 4, 5)) as here:
        for number in range(3):
            for endpoint in ("slowa", "slowb", "slowc", "slowd"):
                here.take(message(endpoint, number, tenant="noisy"))
        for number in range(4):
            here.room()
            here.take(message("good", number, tenant="quiet"))
        stage.await_attended(4)
        assert {one.rstrip("0123456789") for one in stage.attended} == {"good"}
        stage.let_go.set()
    assert len(stage.attended) == 4 + 4 + 5
    assert len(stage.turned_away) == 3


TENANTS = ("t", "u")
ENDPOINTS = ("slow", "slower", "slowest")


@given(
    sent=st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(ENDPOINTS)), max_size=30),
    shares=st.builds(Shares, *[st.integers(1, 4), st.integers(0, 4)] * 2),
)
def test_no_share_is_exceeded_and_every_message_is_seen_to_once(sent: list[tuple[str, str]], shares: Shares) -> None:
    begun, most, lock = Counter[str](), Counter[str](), threading.Lock()
    let_go, seen = threading.Event(), list[str]()

    def attend(received: Received) -> None:
        groups = [group.name for group in shares.groups_of(received)]
        with lock:
            begun.update(groups)
            for name in groups:
                most[name] = max(most[name], begun[name])
        let_go.wait(WAIT)
        with lock:
            begun.subtract(groups)
            seen.append(received.message_id)

    def turn_away(received: Received) -> None:
        seen.append(received.message_id)

    with Pool(8, shares, attend=attend, turn_away=turn_away) as here:
        for number, (tenant, endpoint) in enumerate(sent):
            here.take(message(endpoint, number, tenant))
        let_go.set()
    assert len(seen) == len(set(seen)) == len(sent)
    assert all(count <= (shares.endpoint if "/" in name else shares.tenant) for name, count in most.items())


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
    with pool(stage, threads=2) as here:
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

    with Pool(1, Shares(1, 9, 1, 9), attend=attend, turn_away=attend) as here:
        for one in (message("bad", 1), message("bad", 2), message("good", 3)):
            here.room()
            here.take(one)
    assert done == ["good3"]

"""Threads that neither one endpoint nor one tenant can hold all of."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck_worker.webhooks.fair_pool import ConcurrencyLimits, FairPool

WAIT = 10.0


def message(endpoint: str, number: int, tenant: str = "t") -> ReceivedMessage:
    body = DeliveryMessage(tenant=tenant, of="job_1", made=1, delivery=f"dlv_{number}", endpoint=f"whe_{endpoint}")
    return ReceivedMessage("queue", "handle", body.model_dump_json(), f"{endpoint}{number}")


class BlockingConsumer:
    """Attends to messages: those of endpoints whose name begins with `slow` wait until they are let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.attended: list[str] = []
        self.turned_away: list[str] = []
        self.most: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()
        self._changed = threading.Condition()

    def process_message(self, received: ReceivedMessage) -> None:
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

    def reject(self, received: ReceivedMessage) -> None:
        with self._changed:
            self.turned_away.append(received.message_id)
            self._changed.notify_all()

    def await_attended(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.attended) >= count, WAIT)


TWO_OF_AN_ENDPOINT = ConcurrencyLimits(endpoint=2, max_waiting_per_endpoint=3, tenant=99, max_waiting_per_tenant=99)


def pool(consumer: BlockingConsumer, threads: int = 8, limits: ConcurrencyLimits = TWO_OF_AN_ENDPOINT) -> FairPool:
    return FairPool(threads, limits, process_message=consumer.process_message, reject=consumer.reject)


def test_who_is_slow_holds_its_share_and_the_others_go_on() -> None:
    consumer = BlockingConsumer()
    with pool(consumer) as running_pool:
        for number in range(9):
            running_pool.submit(message("slow", number))
        for number in range(20):
            running_pool.submit(message("good", number))
        assert running_pool.free_threads() > 0
        consumer.await_attended(5)
        consumer.let_go.set()
    assert consumer.most["slow"] == 2
    assert consumer.most["good"] <= 2
    slow = [one for one in consumer.attended if one.startswith("slow")]
    assert len(slow) == 5
    assert sorted(consumer.turned_away)[-4:] == [f"slow{number}" for number in range(5, 9)]
    assert len(consumer.attended) + len(consumer.turned_away) == 29


def test_a_tenant_whose_receivers_are_all_slow_leaves_half_to_the_others() -> None:
    consumer = BlockingConsumer()
    with pool(consumer, limits=ConcurrencyLimits(2, 3, 4, 5)) as running_pool:
        for number in range(3):
            for endpoint in ("slowa", "slowb", "slowc", "slowd"):
                running_pool.submit(message(endpoint, number, tenant="noisy"))
        for number in range(4):
            running_pool.free_threads()
            running_pool.submit(message("good", number, tenant="quiet"))
        consumer.await_attended(4)
        assert {one.rstrip("0123456789") for one in consumer.attended} == {"good"}
        consumer.let_go.set()
    assert len(consumer.attended) == 4 + 4 + 5
    assert len(consumer.turned_away) == 3


TENANTS = ("t", "u")
ENDPOINTS = ("slow", "slower", "slowest")


@given(
    sent=st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(ENDPOINTS)), max_size=30),
    limits=st.builds(ConcurrencyLimits, *[st.integers(1, 4), st.integers(0, 4)] * 2),
)
def test_no_share_is_exceeded_and_every_message_is_seen_to_once(
    sent: list[tuple[str, str]], limits: ConcurrencyLimits
) -> None:
    begun, most, lock = Counter[str](), Counter[str](), threading.Lock()
    let_go, seen = threading.Event(), list[str]()

    def process_message(received: ReceivedMessage) -> None:
        groups = [group.name for group in limits.groups_of(received)]
        with lock:
            begun.update(groups)
            for name in groups:
                most[name] = max(most[name], begun[name])
        let_go.wait(WAIT)
        with lock:
            begun.subtract(groups)
            seen.append(received.message_id)

    def reject(received: ReceivedMessage) -> None:
        seen.append(received.message_id)

    with FairPool(8, limits, process_message=process_message, reject=reject) as running_pool:
        for number, (tenant, endpoint) in enumerate(sent):
            running_pool.submit(message(endpoint, number, tenant))
        let_go.set()
    assert len(seen) == len(set(seen)) == len(sent)
    assert all(count <= (limits.endpoint if "/" in name else limits.tenant) for name, count in most.items())


def test_what_waits_is_turned_away_when_there_will_be_no_turn() -> None:
    consumer = BlockingConsumer()
    with pool(consumer) as running_pool:
        for number in range(4):
            running_pool.submit(message("slow", number))
        running_pool.reject_waiting()
        consumer.let_go.set()
    assert sorted(consumer.attended) == ["slow0", "slow1"]
    assert consumer.turned_away == ["slow2", "slow3"]


def test_what_calls_nobody_is_not_counted() -> None:
    consumer = BlockingConsumer()
    body = JobMessage(tenant="t", job="job_1").model_dump_json()
    received = [ReceivedMessage("queue", "handle", text, f"slow{n}") for n, text in enumerate([body, body, body, "{"])]
    with pool(consumer, threads=4) as running_pool:
        for one in received:
            running_pool.submit(one)
        consumer.let_go.set()
    assert len(consumer.attended) == 4


def test_another_attempt_is_admitted_while_its_endpoint_has_a_thread_left_and_nothing_waits() -> None:
    consumer = BlockingConsumer()
    mine = DeliveryMessage(tenant="t", of="job_1", made=1, delivery="dlv_9", endpoint="whe_slow")
    with pool(consumer) as running_pool:
        running_pool.submit(message("slow", 0))
        with running_pool.admitted(mine) as admitted, running_pool.admitted(mine) as refused:
            assert (admitted, refused) == (True, False)
            # counts as the endpoint's second thread: this one waits, and is before all that ask later
            running_pool.submit(message("slow", 1))
        with running_pool.admitted(mine) as admitted:
            assert not admitted
        consumer.let_go.set()
    assert sorted(consumer.attended) == ["slow0", "slow1"]


def test_there_is_no_room_while_all_threads_are_at_work() -> None:
    consumer = BlockingConsumer()
    rooms: list[int] = []
    with pool(consumer, threads=2) as running_pool:
        assert running_pool.free_threads() == 2
        running_pool.submit(message("slow", 0))
        assert running_pool.free_threads() == 1
        running_pool.submit(message("slow", 1))
        asking = threading.Thread(target=lambda: rooms.append(running_pool.free_threads()))
        asking.start()
        asking.join(0.1)
        assert rooms == []
        consumer.let_go.set()
        asking.join(WAIT)
        assert rooms[0] >= 1


def test_one_that_fails_takes_no_thread_with_it() -> None:
    done: list[str] = []

    def process_message(received: ReceivedMessage) -> None:
        if received.message_id.startswith("bad"):
            raise KeyError("a bug")
        done.append(received.message_id)

    with FairPool(
        1, ConcurrencyLimits(1, 9, 1, 9), process_message=process_message, reject=process_message
    ) as running_pool:
        for one in (message("bad", 1), message("bad", 2), message("good", 3)):
            running_pool.free_threads()
            running_pool.submit(one)
    assert done == ["good3"]

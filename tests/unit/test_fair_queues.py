"""The emulator's standard queues take turns over message groups."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from coatcheck_infra.local.ministack.sqs_patches import in_turn, share_fairly

NOW = 1000.0


def message(group: str | None, number: int, *, processed: bool = False) -> dict[str, Any]:
    return {
        "id": f"{group} {number}",
        "group_id": group,
        "visible_at": NOW + 30 if processed else NOW,
        "receive_count": int(processed),
    }


def groups(messages: list[dict[str, Any]]) -> list[str]:
    return [one["group_id"] for one in messages]


def test_a_quiet_group_does_not_wait_for_a_noisy_one() -> None:
    noisy = [message("noisy", number) for number in range(1000)]
    quiet = [message("quiet", number) for number in range(3)]
    taken = in_turn([*noisy, *quiet], 10, NOW)
    assert groups(taken[:6]) == ["noisy", "quiet"] * 3
    assert Counter(groups(taken)) == {"noisy": 7, "quiet": 3}


def test_what_is_being_processed_counts() -> None:
    processed = [message("noisy", number, processed=True) for number in range(30)]
    waiting = [message("noisy", 30 + number) for number in range(9)] + [message("quiet", 0), message("other", 0)]
    assert groups(in_turn([*processed, *waiting], 3, NOW)) == ["quiet", "other", "noisy"]


def test_a_delayed_message_is_neither_taken_nor_counted() -> None:
    delayed = message("noisy", 0) | {"visible_at": NOW + 1}
    assert groups(in_turn([delayed, message("noisy", 1), message("quiet", 0)], 9, NOW)) == ["noisy", "quiet"]


def test_one_group_is_taken_in_its_order() -> None:
    sent = [message("one", number) for number in range(20)]
    assert in_turn(sent, 5, NOW) == sent[:5]


def test_messages_without_a_group_are_taken_in_their_order() -> None:
    sent = [message(None, number) for number in range(5)]
    assert in_turn(sent, 3, NOW) == sent[:3]


def test_the_order_of_a_fifo_queue_is_its_own() -> None:
    seen = []

    def collect(queue: dict[str, Any], most: int, visibility: int) -> list[dict[str, Any]]:
        seen.append((groups(queue["messages"]), most, visibility))
        return []

    sent = [message("noisy", 0), message("noisy", 1), message("quiet", 0)]
    for is_fifo in (True, False):
        share_fairly(collect)({"is_fifo": is_fifo, "messages": sent}, 2, 30)
    assert seen == [(["noisy", "noisy", "quiet"], 2, 30), (["noisy", "quiet"], 2, 30)]


def test_a_long_queue_is_looked_through_quickly() -> None:
    long = [message(f"t{number % 50}", number) for number in range(100_000)]
    began = time.process_time()
    in_turn(long, 10, NOW)
    assert time.process_time() - began < 1

"""The ticks of heartbeats: each context has its own, and none once it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from coatcheck.core.log import context_members, log_context
from coatcheck_worker.ticker import ThreadTicker
from tests.waiting import eventually


def heartbeats() -> int:
    return sum(thread.name == "heartbeat" for thread in threading.enumerate())


def test_what_ends_before_the_first_tick_needs_no_thread_of_its_own() -> None:
    ticker, ticks = ThreadTicker(), list[str]()
    for _ in range(100):
        with ticker(lambda: ticks.append("late")):
            assert heartbeats() == 0
    with ticker(lambda: ticks.append("tick")):
        eventually(lambda: len(ticks) >= 2)
    assert set(ticks) == {"tick"}
    assert heartbeats() == 0


def test_a_tick_that_hangs_holds_up_no_other() -> None:
    ticker, let_go = ThreadTicker(), threading.Event()
    hanging, ticks = threading.Event(), list[str]()

    def hang() -> None:
        hanging.set()
        let_go.wait()

    with ticker(hang), ticker(lambda: ticks.append("tick")):
        eventually(lambda: hanging.is_set() and len(ticks) >= 2)
        with ticker(lambda: ticks.append("later")):
            eventually(lambda: "later" in ticks)
        let_go.set()


def test_a_tick_has_the_log_context_of_who_asked_for_it() -> None:
    seen: list[object] = []
    with log_context(job="job_1"), ThreadTicker()(lambda: seen.append(context_members().get("job"))):
        eventually(lambda: bool(seen))
    assert set(seen) == {"job_1"}


def test_without_threads_it_ticks_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ticker, ticks = ThreadTicker(), list[str]()
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "heartbeat":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with ticker(lambda: ticks.append("one")), ticker(lambda: ticks.append("other")):
        eventually(lambda: min(ticks.count("one"), ticks.count("other")) >= 2)
        monkeypatch.undo()
        eventually(lambda: heartbeats() == 2)

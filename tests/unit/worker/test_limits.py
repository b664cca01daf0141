"""What ends a process, or an allocation, that would harm others. Each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from coatcheck_worker import memory


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_in_which_nothing_runs_any_more_is_ended_and_says_where_it_hung() -> None:
    ended = run("""
        import re
        from coatcheck_worker.watchdog import watchdog
        def hang():
            re.match(r"(a+)+$", "a" * 64 + "b")
        with watchdog(1):
            hang()
        """)
    assert ended.returncode == 1
    assert "in hang" in ended.stderr


def test_a_busy_process_and_one_after_the_watch_are_left_alone() -> None:
    ended = run("""
        import re, time
        from coatcheck_worker.watchdog import watchdog
        until = time.monotonic() + 1.5
        with watchdog(0.5):
            while time.monotonic() < until:
                pass
        with watchdog(0.5):
            time.sleep(1)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            re.match(r"(a+)+$", "a" * 22 + "b")
        """)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not heed the limit")
def test_asking_for_too_much_memory_fails_in_who_asks() -> None:
    ended = run("""
        from coatcheck_worker import memory
        memory.limit(200)
        kept = []
        try:
            while True:
                kept.append(bytearray(10_000_000))
        except MemoryError:
            taken = len(kept)
            kept.clear()
        bytearray(100_000_000)
        print(taken)
        """)
    assert ended.returncode == 0, ended.stderr
    assert 10 <= int(ended.stdout) <= 20


def test_the_memory_of_a_machine_is_shared_out() -> None:
    assert 128 < memory.per_process(1) < 64 * 1024 * 1024
    assert abs(memory.per_process(4) * 4 - memory.per_process(1)) <= 4

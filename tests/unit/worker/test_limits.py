"""How much memory a process may take."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from coatcheck_worker import memory


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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

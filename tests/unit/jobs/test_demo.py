from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coatcheck import Reject, Result, Stopped, run_job
from jobs.demo import CHUNK, deterministic_bytes, make_bytes, sleep

MEASURE = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, "-c", sys.argv[1]], os.environ)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""
"""Runs a program and prints its exit status and peak. Linux counts the peak of who started a process to it, and the
memory of the tests is large: it is to be started by a small process. https://man7.org/linux/man-pages/man2/getrusage.2.html
"""


def sleeping(wanted: dict[str, Any], before: str = "") -> str:
    """A program that runs `demo.sleep`."""
    return f"{before}\nfrom coatcheck import run_job\nfrom jobs.demo import sleep\nrun_job(sleep, {wanted!r})"


def start(folder: Path, wanted: dict[str, Any], before: str = "") -> subprocess.Popen[bytes]:
    """`demo.sleep` in a process that it may ruin, and that leaves what it leaves in `folder`."""
    command = [sys.executable, "-c", sleeping(wanted, before)]
    return subprocess.Popen(command, env=os.environ | {"TMPDIR": str(folder)})


def test_sleep_takes_its_time_and_says_how_far_it_is() -> None:
    began = time.monotonic()
    outcome = run_job(sleep, {"seconds": 0.4, "steps": 4})
    assert time.monotonic() - began >= 0.4
    assert outcome.body == b'{"slept":0.4}'
    assert outcome.progress == [(n / 4, f"step {n} of 4") for n in (1, 2, 3, 4)]


def test_sleep_looks_at_its_context_between_steps() -> None:
    began = time.monotonic()
    with pytest.raises(Stopped):
        run_job(sleep, {"seconds": 3600, "steps": 1}, timeout=0.1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("attempt", "fails"), [(1, True), (2, True), (3, False)])
def test_a_transient_failure_passes(*, attempt: int, fails: bool) -> None:
    wanted = {"seconds": 0, "fail": "transient", "fail_attempts": 2}
    if fails:
        with pytest.raises(RuntimeError, match="transient"):
            run_job(sleep, wanted, attempt=attempt)
    else:
        assert run_job(sleep, wanted, attempt=attempt).output.slept == 0


def test_a_permanent_failure_is_a_rejection() -> None:
    with pytest.raises(Reject, match="permanent"):
        run_job(sleep, {"seconds": 0, "fail": "permanent"})


def test_the_failure_comes_half_way() -> None:
    began = time.monotonic()
    with pytest.raises(Reject):
        run_job(sleep, {"seconds": 4, "steps": 40, "fail": "permanent"})
    assert 2 <= time.monotonic() - began < 4


def test_a_crash_ends_the_process(tmp_path: Path) -> None:
    assert start(tmp_path, {"seconds": 0, "fail": "crash"}).wait(120) == 70


def test_growing_memory_ends_the_process_at_its_limit(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))"
    assert start(tmp_path, {"seconds": 0, "fail": "memory"}, limit).wait(120) == 137


def test_growing_memory_without_a_limit_ends_at_1_gib(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEASURE, sleeping({"seconds": 0, "fail": "memory"})]
    env = os.environ | {"TMPDIR": str(tmp_path)}
    measured = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    status, peak = (int(word) for word in measured.stdout.split())
    assert status == 137
    assert 1024**3 <= peak * (1 if sys.platform == "darwin" else 1024) < 1.3 * 1024**3


def test_a_spin_does_not_end(tmp_path: Path) -> None:
    process = start(tmp_path, {"seconds": 0, "fail": "spin"})
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
    finally:
        process.kill()
        process.wait()


@settings(max_examples=30)
@given(st.sampled_from([0, 1, 7, 8, 9, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5]), st.integers(0, 2**53 - 1))
def test_bytes_are_what_the_documentation_says(size: int, seed: int) -> None:
    block = hashlib.shake_128(f"coatcheck demo.bytes {seed}".encode()).digest(CHUNK)
    stream = b"".join(n.to_bytes(8, "big") + block[8:] for n in range(4))
    assert b"".join(deterministic_bytes(size, seed)) == stream[:size]


def test_bytes_never_change() -> None:
    digest = hashlib.sha256(b"".join(deterministic_bytes(3_000_000, 7))).hexdigest()
    assert digest == "037e35ee2e2239200134b8ae7c92770bc7f78be643d395ff2ecbc5df9282cb19"


def test_bytes_are_streamed_with_the_type_asked_for() -> None:
    outcome = run_job(make_bytes, {"size": 3 * CHUNK, "content_type": "image/x-noise", "seed": 1})
    assert isinstance(outcome.output, Result)
    assert outcome.output.content_type == "image/x-noise"
    assert len(outcome.body) == 3 * CHUNK
    assert [fraction for fraction, _ in outcome.progress] == [0, 1 / 3, 2 / 3]


def test_a_stream_of_bytes_can_be_stopped() -> None:
    with pytest.raises(Stopped):
        run_job(make_bytes, {"size": 6 * 1024**3}, timeout=0)

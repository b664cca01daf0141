"""A call in a confined process, and every way it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from coatcheck import LocalContext, Reject, Stopped, confined
from coatcheck.confined import BadAnswer, Crashed, Failed, Killed, LimitReached, Limits
from coatcheck.confined.folders import Folders
from coatcheck.linux import PR_GET_DUMPABLE, Kernel

MIB = 1024**2


class Count(BaseModel):
    count: int


class Number(BaseModel):
    number: int
    text: str = ""


def call(ctx: LocalContext, function: str, argument: Any = None, **how: Any) -> confined.Answer[Number]:
    return confined.run(ctx, f"tests.unit.confined.functions:{function}", argument, returns=Number, **how)


def left(ctx: LocalContext) -> list[str]:
    return sorted(str(path.relative_to(ctx.workdir)) for path in ctx.workdir.rglob("*") if path.is_file())


def test_a_call_has_a_value_and_files(ctx: LocalContext, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("text")
    answer = call(ctx, "double", {"number": 21}, files={"a": tmp_path / "given"})
    assert answer.value == Number(number=42)
    assert {name: path.read_text() for name, path in answer.files.items()} == {"a": "TEXT"}
    assert ctx.reported == [(0.5, "half")]
    assert [Path(name).name for name in left(ctx)] == ["a"]


def test_a_call_may_return_nothing(ctx: LocalContext) -> None:
    answer = confined.run(ctx, "tests.unit.confined.functions:nothing")
    assert answer == confined.Answer(None, {})


def test_what_it_prints_is_no_answer(ctx: LocalContext) -> None:
    assert call(ctx, "print_much").value.number == 1


def test_calls_may_run_side_by_side(ctx: LocalContext) -> None:
    async def together() -> list[confined.Answer[Number]]:
        calls = (asyncio.to_thread(call, ctx, "double", {"number": number}) for number in range(4))
        return await asyncio.gather(*calls)

    assert [answer.value.number for answer in asyncio.run(together())] == [0, 2, 4, 6]


def test_a_rejection_comes_through(ctx: LocalContext) -> None:
    with pytest.raises(Reject, match=r"^line 3 is bad$") as rejected:
        call(ctx, "reject", {"reason": "line 3 is bad"})
    assert type(rejected.value) is Reject
    assert left(ctx) == []


def test_a_reason_is_made_fit_for_json_and_rows(ctx: LocalContext) -> None:
    with pytest.raises(Reject) as rejected:
        call(ctx, "reject", {"reason": "a\ud800\0b" + "x" * 10_000})
    assert rejected.value.reason == "a?\N{REPLACEMENT CHARACTER}b" + "x" * 1996


def test_an_exception_is_in_the_log_alone(ctx: LocalContext, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Failed, match="raised ValueError") as failed:
        call(ctx, "fail")
    assert "hush" not in str(failed.value)
    assert "hush: the owner's own words" in caplog.text
    assert not isinstance(failed.value, Reject)


@pytest.mark.parametrize("function", ["sleep", "spin", "stop_itself"])
def test_time_is_limited(ctx: LocalContext, function: str) -> None:
    began = time.monotonic()
    with pytest.raises(LimitReached, match=r"longer than the 0\.5 seconds") as reached:
        call(ctx, function, limits=Limits(seconds=0.5))
    assert time.monotonic() - began < 10
    assert (reached.value.limit, isinstance(reached.value, Reject)) == ("seconds", True)


def test_a_stop_of_the_job_ends_it(tmp_path: Path) -> None:
    ctx = LocalContext(tmp_path, timeout=1)
    began = time.monotonic()
    with pytest.raises(Stopped):
        call(ctx, "sleep", limits=Limits(seconds=None))
    assert time.monotonic() - began < 10
    assert left(ctx) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not bound private memory")
def test_memory_is_limited(ctx: LocalContext) -> None:
    with pytest.raises(LimitReached) as reached:
        call(ctx, "fill_memory", limits=Limits(memory=128 * MIB))
    assert reached.value.limit == "memory"


@pytest.mark.parametrize("function", ["fill_file", "fill_disk"])
def test_disk_is_limited(ctx: LocalContext, function: str) -> None:
    with pytest.raises(LimitReached) as reached:
        call(ctx, function, limits=Limits(disk=8 * MIB))
    assert reached.value.limit == "disk"
    # what it reported last
    assert reached.value.during is None or int(reached.value.during) < 500
    assert left(ctx) == []


@pytest.mark.parametrize(
    ("how", "raised", "said"),
    [
        ("abort", Crashed, "SIGABRT"),
        ("segfault", Crashed, "SIGSEGV"),
        ("exit", Crashed, "exit code 3"),
        ("exit 0", BadAnswer, "ended without an answer"),
        ("kill", Killed, "SIGKILL"),
        ("close", BadAnswer, "closed its report"),
    ],
)
def test_a_death_is_named(
    ctx: LocalContext, caplog: pytest.LogCaptureFixture, how: str, raised: type[Exception], said: str
) -> None:
    with pytest.raises(raised, match=said) as died:
        call(ctx, "end", {"how": how})
    assert isinstance(died.value, Reject) == (raised is Crashed)
    assert "last words" in caplog.text


FORGED: dict[str, tuple[list[str], type[Exception]]] = {
    "no JSON": (["hello"], BadAnswer),
    "no report": (['{"what": 1}'], BadAnswer),
    "no object": (["[]"], BadAnswer),
    "another type": (['{"value": 7}'], BadAnswer),
    "not of the model": (['{"value": "{}"}'], BadAnswer),
    "no JSON in it": (['{"value": "{"}'], BadAnswer),
    "deep": (["[" * 100_000], BadAnswer),
    "deep in it": (['{"value": "' + "[" * 100_000 + '"}'], BadAnswer),
    "a large number": (["9" * 5000], BadAnswer),
    "a limit of its own": (['{"limit": "patience"}'], BadAnswer),
    "a limit": (['{"limit": "memory"}'], LimitReached),
    "odd progress": (
        ['{"fraction": NaN, "message": null}', '{"fraction": -1e999, "message": "x\\ud800\\u0000"}', "{}"],
        BadAnswer,
    ),
    "large progress": (['{"fraction": 1' + "0" * 400 + ', "message": "' + "x" * 999 + '"}', "{}"], BadAnswer),
    "an exception of its own": (['{"failed": "Reject\\nError"}'], Failed),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_report_is_read_as_one(ctx: LocalContext, forged: str) -> None:
    lines, raised = FORGED[forged]
    with pytest.raises(raised):
        call(ctx, "say", {"lines": lines})
    assert all(0 <= fraction <= 1 and len(message or "") <= 200 for fraction, message in ctx.reported)
    json.dumps(ctx.reported, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("part", "times"), [("x", 3 * MIB), ('{"fraction": 1, "message": null}\n', MIB)], ids=["a long line", "many lines"]
)
def test_what_it_reports_is_bounded(ctx: LocalContext, part: str, times: int) -> None:
    with pytest.raises(BadAnswer, match="more than it may"):
        call(ctx, "say", {"part": part, "times": times})


def test_a_value_that_is_no_json_fails(ctx: LocalContext) -> None:
    with pytest.raises(TypeError):
        call(ctx, "double", object())


@pytest.mark.parametrize("reference", ["tests.unit.confined.functions:missing", "nowhere:at_all", "none"])
def test_a_function_that_is_not_there_fails(ctx: LocalContext, reference: str) -> None:
    with pytest.raises(Failed, match=r"AttributeError|ModuleNotFoundError|TypeError"):
        confined.run(ctx, reference)


MADE: dict[str, Callable[[Path, Path], object]] = {
    "a symbolic link": lambda made, secret: made.symlink_to(secret),
    "a hard link": lambda made, secret: made.hardlink_to(secret),
    "a FIFO": lambda made, _: os.mkfifo(made),
    "a folder": lambda made, _: made.mkdir(),
}


def test_what_is_no_plain_file_is_not_collected(ctx: LocalContext) -> None:
    with pytest.raises(BadAnswer, match="'folder' in its output, which is no plain file"):
        confined.run(ctx, "tests.unit.confined.functions:leave")
    assert left(ctx) == []


@pytest.mark.parametrize("make", MADE)
def test_an_output_folder_is_looked_at_without_following(tmp_path: Path, make: str) -> None:
    (tmp_path / "secret").write_text("hush")
    folders = Folders.make(tmp_path)
    MADE[make](folders.output / "made", tmp_path / "secret")
    with pytest.raises(BadAnswer, match="no plain file"):
        folders.collect()


def test_an_output_folder_that_was_replaced_is_not_looked_into(tmp_path: Path) -> None:
    folders = Folders.make(tmp_path)
    folders.output.rmdir()
    folders.output.symlink_to(tmp_path)
    with pytest.raises(BadAnswer, match="replaced its output folder"):
        folders.collect()


@pytest.mark.parametrize("limits", [{"memory": 0}, {"disk": -1}, {"seconds": 0}, {"seconds": float("nan")}])
def test_limits_are_positive(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Limits(**limits)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's alone")
def test_this_process_is_hidden_for_as_long_as_a_call_runs(ctx: LocalContext) -> None:
    seen: list[int] = []

    class Watching(LocalContext):
        def progress(self, fraction: float, message: str | None = None) -> None:
            super().progress(fraction, message)
            seen.append(Kernel().prctl(PR_GET_DUMPABLE))

    assert Kernel().prctl(PR_GET_DUMPABLE) == 1
    call(Watching(ctx.workdir), "double", {"number": 1})
    assert seen == [0]
    assert Kernel().prctl(PR_GET_DUMPABLE) == 1


def test_threads_are_bounded_by_memory(ctx: LocalContext) -> None:
    answer = confined.run(ctx, "tests.unit.confined.probes:threads", {}, returns=Count, limits=Limits(memory=256 * MIB))
    # each has a stack of 8 MB
    assert 1 < answer.value.count < 40

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from coatcheck import Context, Continue, Result, RetryLater, Stopped, Upload, job, run_job
from coatcheck.authoring.types import Body


class Copy(BaseModel):
    file: Upload
    times: int = 1


class Copied(BaseModel):
    size: int


GIVEN = {"file": {"$upload": "upl_a"}}


@job("test.copy")
def copy(wanted: Copy, ctx: Context) -> Copied:
    with ctx.artifact("copy.txt", "text/plain") as file, ctx.open_input(wanted.file) as source:
        shutil.copyfileobj(source, file)
    ctx.progress(0.5, f"attempt {ctx.attempt} of {ctx.max_attempts}")
    return Copied(size=ctx.input_path(wanted.file).stat().st_size)


def test_it_collects_what_the_handler_made() -> None:
    outcome = run_job(copy, GIVEN, {"upl_a": b"hello"}, attempt=2)
    assert outcome.output == Copied(size=5)
    assert outcome.body == b'{"size":5}'
    assert outcome.artifacts["copy.txt"].body == b"hello"
    assert outcome.artifacts["copy.txt"].content_type == "text/plain"
    assert outcome.progress == [(0.5, "attempt 2 of 3")]


def test_an_upload_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    assert run_job(copy, Copy(file=Upload.model_validate(GIVEN["file"])), {"upl_a": tmp_path / "a"}).output == Copied(
        size=5
    )


@pytest.mark.parametrize("kind", ["bytes", "path"])
def test_an_upload_is_as_much_of_a_file_as_in_the_worker(tmp_path: Path, kind: str) -> None:
    @job("test.nothing")
    def look(wanted: Copy, ctx: Context) -> None:
        with ctx.open_input(wanted.file) as file:
            assert (file.read(2), file.seek(-2, 2), file.read(), file.tell()) == (b"he", 3, b"lo", 5)
            assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
            with pytest.raises(OSError, match="fileno"):
                file.fileno()

    (tmp_path / "a").write_bytes(b"hello")
    run_job(look, GIVEN, {"upl_a": b"hello" if kind == "bytes" else tmp_path / "a"})


def test_a_missing_upload_is_named() -> None:
    with pytest.raises(KeyError, match=r"no upload upl_a; it gave \['upl_b'\]"):
        run_job(copy, GIVEN, {"upl_b": b""})


def test_input_is_checked_as_the_service_checks_it() -> None:
    with pytest.raises(ValidationError):
        run_job(copy, {"file": "upl_a"})


@pytest.mark.parametrize("body", ["bytes", "path", "iterator"])
def test_every_kind_of_result_is_collected(body: str) -> None:
    @job("test.stream")
    def stream(_: Copy, ctx: Context) -> Result:
        path = ctx.workdir / "out"
        path.write_bytes(b"abc")
        bodies: dict[str, Body] = {"bytes": b"abc", "path": path, "iterator": iter([b"a", b"bc"])}
        return Result(bodies[body], "text/plain")

    assert run_job(stream, GIVEN).body == b"abc"


def test_async_handlers_are_run_to_their_end() -> None:
    @job("test.nothing")
    async def nothing(_: Copy, ctx: Context) -> None:
        await asyncio.sleep(0)
        ctx.progress(1)

    assert run_job(nothing, GIVEN).progress == [(1, None)]


def test_a_handler_may_ask_to_go_on() -> None:
    @job("test.copy")
    def count(_: Copy, ctx: Context) -> Copied | Continue:
        reached = ctx.checkpoint or 0
        return Copied(size=reached) if reached == 2 else Continue(reached + 1)

    assert run_job(count, GIVEN).output == Continue(1)
    assert run_job(count, GIVEN, checkpoint=2).output == Copied(size=2)


@job("test.pages")
def pages(wanted: Copy, ctx: Context) -> Copied | Continue:
    page = ctx.checkpoint["page"] if ctx.checkpoint else 1
    assert list(ctx.workdir.iterdir()) == []
    (ctx.workdir / "scratch").touch()
    with ctx.artifact(f"page-{page}") as file, ctx.artifact("last") as last:
        for each in (file, last):
            each.write(str(page).encode())
    ctx.progress(page / wanted.times, f"attempt {ctx.attempt}")
    return Copied(size=page) if page == wanted.times else Continue({"page": page + 1, "seen": (page,)})


PAGES = {**GIVEN, "times": 3}


def test_all_legs_are_run_if_the_test_asks_for_them() -> None:
    outcome = run_job(pages, PAGES, legs=10, attempt=2)
    assert (outcome.output, outcome.body) == (Copied(size=3), b'{"size":3}')
    made = {name: artifact.body for name, artifact in outcome.artifacts.items()}
    assert made == {"page-1": b"1", "page-2": b"2", "page-3": b"3", "last": b"3"}
    assert [message for _, message in outcome.progress] == ["attempt 2"] * 3


def test_no_more_legs_are_run_than_asked_for() -> None:
    outcome = run_job(pages, PAGES, legs=2)
    assert outcome.output == Continue({"page": 3, "seen": (2,)})
    assert (outcome.body, set(outcome.artifacts)) == (b"", {"page-1", "page-2", "last"})
    assert set(run_job(pages, PAGES, checkpoint={"page": 2}, legs=2).artifacts) == {"page-2", "page-3", "last"}
    with pytest.raises(ValueError, match="legs is 1 or more, not 0"):
        run_job(pages, PAGES, legs=0)


def test_a_checkpoint_comes_back_as_json_has_it() -> None:
    @job("test.tuple")
    def pair(_: Copy, ctx: Context) -> Copied | Continue:
        if ctx.checkpoint is None:
            return Continue({1: (2, 3)})
        assert ctx.checkpoint == {"1": [2, 3]}
        return Copied(size=1)

    assert run_job(pair, GIVEN, legs=2).output == Copied(size=1)


@pytest.mark.parametrize(
    ("checkpoint", "error"), [(float("nan"), ValueError), (object(), TypeError)], ids=["nan", "object"]
)
def test_a_checkpoint_that_is_not_json_is_an_error(checkpoint: object, error: type[Exception]) -> None:
    @job("test.odd")
    def odd(_: Copy, _ctx: Context) -> Copied | Continue:
        return Continue(checkpoint)

    with pytest.raises(error, match="JSON"):
        run_job(odd, GIVEN)


def test_what_a_handler_raises_comes_out() -> None:
    @job("test.nothing")
    def later(_: Copy, _ctx: Context) -> None:
        raise RetryLater(60)

    with pytest.raises(RetryLater):
        run_job(later, GIVEN)


def test_the_timeout_stops_it() -> None:
    @job("test.nothing")
    def endless(_: Copy, ctx: Context) -> None:
        while True:
            ctx.check()

    with pytest.raises(Stopped):
        run_job(endless, GIVEN, timeout=0.05)


def test_returning_something_else_than_the_type_says_is_an_error() -> None:
    @job("test.copy")
    def wrong(_: Copy, _ctx: Context) -> Copied:
        return {"size": 1}  # type: ignore[return-value]

    with pytest.raises(TypeError, match=r"test.copy returned dict, not Copied"):
        run_job(wrong, GIVEN)


@pytest.mark.parametrize(
    "names", [["a/b"], [""], ["x" * 101], [".hidden"], ["a\n"], ["same", "same"]], ids=lambda names: repr(names)[:20]
)
def test_artifacts_need_good_names_of_their_own(names: list[str]) -> None:
    @job("test.nothing")
    def write(_: Copy, ctx: Context) -> None:
        for name in names:
            with ctx.artifact(name) as file:
                file.write(b"x")

    with pytest.raises(ValueError, match="an artifact needs a new name"):
        run_job(write, GIVEN)


def test_an_artifact_of_a_failed_block_is_dropped() -> None:
    @job("test.nothing")
    def write(_: Copy, ctx: Context) -> None:
        try:
            with ctx.artifact("half") as file:
                file.write(b"x")
                raise OSError  # noqa: TRY301
        except OSError:
            ctx.progress(1, "given up")

    outcome = run_job(write, GIVEN)
    assert outcome.artifacts == {}
    assert outcome.progress == [(1, "given up")]


@pytest.mark.parametrize(("fraction", "message"), [(1.1, None), (-0.1, None), (0.5, "x" * 201)])
def test_progress_that_clients_could_not_be_shown_is_an_error(fraction: float, message: str | None) -> None:
    @job("test.nothing")
    def report(_: Copy, ctx: Context) -> None:
        ctx.progress(fraction, message)

    with pytest.raises(ValueError, match="0 to 1"):
        run_job(report, GIVEN)


@job("test.asks")
def ask(_: Copied, ctx: Context) -> Copied:
    return Copied(size=len(ctx.secret("PAYMENTS_KEY")))


def test_a_test_gives_the_secrets_that_a_handler_asks_for() -> None:
    assert run_job(ask, {"size": 0}, secrets={"PAYMENTS_KEY": "four"}).output == Copied(size=4)
    with pytest.raises(LookupError, match=r"the test gave no secret PAYMENTS_KEY: run_job\(…, secrets="):
        run_job(ask, {"size": 0})

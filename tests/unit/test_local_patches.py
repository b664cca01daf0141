"""The patches of MiniStack, by themselves; the journeys through `up --whole` show that they fit."""

from __future__ import annotations

import asyncio
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.local.code_cache import unpack
from coatcheck_infra.local.ministack import iam_patches, sqs_patches
from coatcheck_infra.local.ministack.cloudwatch_patches import accept_metric_math
from coatcheck_infra.local.ministack.environment_limiter import (
    EAGER_ENVIRONMENTS,
    EAGER_WAIT,
    RELUCTANT_WAIT,
    EnvironmentLimiter,
)
from coatcheck_infra.local.ministack.http_patches import cancel_on_disconnect, match_any_media_type
from coatcheck_infra.local.ministack.lambda_patches import (
    LARGEST_REPLY,
    limit_environments,
    limit_reply_size,
    link_unpacked_code,
    numeric_concurrency,
    report_start,
)
from tests.waiting import eventually


@contextmanager
def calls(limiter: EnvironmentLimiter, number: int) -> Iterator[tuple[list[float], threading.Event]]:
    """So many calls at once, held until the event is set; the moments they began, since the first was asked for."""
    began: list[float] = []
    end = threading.Event()
    asked = time.monotonic()

    def call() -> None:
        with limiter.slot():
            began.append(time.monotonic() - asked)
            end.wait(10)

    threads = [threading.Thread(target=call) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield began, end
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_while_one_environment_starts_no_other_does() -> None:
    limiter = EnvironmentLimiter()
    with calls(limiter, 3) as (began, _):
        eventually(lambda: len(began) == 2)
        assert began[1] >= EAGER_WAIT
        time.sleep(3 * EAGER_WAIT)
        assert len(began) == 2
        limiter.started()
        eventually(lambda: len(began) == 3)


def test_beyond_a_few_environments_one_more_comes_only_where_no_call_ends() -> None:
    limiter = EnvironmentLimiter()
    with calls(limiter, EAGER_ENVIRONMENTS + 1) as (began, _):
        while len(began) < EAGER_ENVIRONMENTS:
            limiter.started()
            time.sleep(0.01)
        limiter.started()
        eventually(lambda: len(began) == EAGER_ENVIRONMENTS + 1)
        assert began[-1] >= RELUCTANT_WAIT


def test_an_ended_call_gives_its_environment_to_the_next() -> None:
    limiter = EnvironmentLimiter()
    with limiter.slot():
        pass
    began = time.monotonic()
    with limiter.slot():
        assert time.monotonic() - began < EAGER_WAIT


def test_a_start_that_fails_is_noticed_too() -> None:
    limiter = {"f": EnvironmentLimiter()}

    class Worker:
        func_name = "f"

    def spawn(_worker: object) -> None:
        raise RuntimeError

    with calls(limiter["f"], 3) as (began, _):
        eventually(lambda: len(began) == 2)
        with pytest.raises(RuntimeError):
            report_start(limiter, spawn)(Worker())
        eventually(lambda: len(began) == 3)


def test_an_error_of_a_function_is_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    results = iter([{"body": {}, "error": True, "log": "Traceback\n  line"}, {"body": {"a": 1}, "error": True}])
    execute = limit_environments({"f": EnvironmentLimiter()}, lambda *_: next(results))
    for _ in range(2):
        execute({}, {"FunctionName": "f"}, {}, "id", 0.0)
    assert capsys.readouterr().out == 'lambda f Traceback\nlambda f   line\nlambda f {"a": 1}\n'


def test_a_reply_over_six_megabytes_is_an_error() -> None:
    largest = {"body": "x" * (LARGEST_REPLY - 2)}
    assert limit_reply_size(largest) == largest
    larger = limit_reply_size({"body": "x" * (LARGEST_REPLY - 1), "log": ""})
    assert larger["error"]
    assert larger["body"]["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_concurrency_from_a_parameter_is_a_number() -> None:
    concurrency = numeric_concurrency(lambda mapping, *_: mapping["ScalingConfig"].get("MaximumConcurrency"))
    assert concurrency({"ScalingConfig": {"MaximumConcurrency": "20"}}, None, None) == 20
    assert concurrency({"ScalingConfig": None}, None, None) is None


@pytest.mark.parametrize(
    ("media_type", "binary", "expected"),
    [("a/b", ["*~1*"], True), (None, ["*/*"], True), ("a/b", ["a~1b"], True), (None, [], False), ("a/b", None, False)],
)
def test_an_escaped_media_type_is_one(media_type: str | None, binary: list[str] | None, expected: bool) -> None:  # noqa: FBT001
    assert match_any_media_type(lambda one, types: one in types)(media_type, binary) is expected


def archive(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("package/module.py", text)
    return path


def test_code_is_unpacked_once_and_old_code_goes(tmp_path: Path) -> None:
    code = tmp_path / "code"
    unpack([archive(tmp_path / "a.zip", "a"), archive(tmp_path / "b.zip", "b")], code)
    assert {(one / "package/module.py").read_text() for one in code.iterdir()} == {"a", "b"}
    (code / "cut-short.part").mkdir()
    kept = next(one for one in code.glob("*/package/module.py") if one.read_text() == "a")
    before = kept.stat().st_mtime_ns
    unpack([tmp_path / "a.zip", archive(tmp_path / "b.zip", "c")], code)
    assert {(one / "package/module.py").read_text() for one in code.iterdir()} == {"a", "c"}
    assert kept.stat().st_mtime_ns == before


def test_environments_share_unpacked_code(tmp_path: Path) -> None:
    known, unknown = archive(tmp_path / "a.zip", "a"), archive(tmp_path / "b.zip", "b")
    unpack([known], tmp_path / "code")
    mended = link_unpacked_code(tmp_path / "code", zipfile)
    for which in (known, unknown):
        target = tmp_path / which.stem
        target.mkdir()
        with mended.ZipFile(which) as opened:
            opened.extractall(str(target))
        assert (target / "package/module.py").read_text() == which.stem
    assert (tmp_path / "a").is_symlink()
    assert not (tmp_path / "b").is_symlink()


async def test_a_receive_ends_with_its_client() -> None:
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    ended = asyncio.Event()

    async def app(_scope: object, receive: Callable[[], Any], _send: object) -> None:
        assert (await receive())["body"] == b"{}"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise

    scope = {"headers": [(b"x-amz-target", b"AmazonSQS.ReceiveMessage")]}
    messages.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})
    served = asyncio.create_task(cancel_on_disconnect(app)(scope, messages.get, None))
    await asyncio.sleep(0)
    assert not served.done()
    messages.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(served, 5)
    await asyncio.wait_for(ended.wait(), 5)


def test_an_alarm_of_metric_math_is_made_of_its_first_metric() -> None:
    record = accept_metric_math(lambda name, properties: {"AlarmName": name, **properties})
    metric = {"Namespace": "AWS/SQS", "MetricName": "Visible", "Dimensions": []}
    math = {
        "Threshold": 1,
        "Metrics": [
            {"Id": "all", "Expression": "one + 1"},
            {"Id": "one", "MetricStat": {"Metric": metric, "Stat": "Sum", "Period": 60}},
        ],
    }
    plain = {"Threshold": 1, **metric, "Statistic": "Sum", "Period": 60}
    assert record("a", math) == record("a", plain) == {"AlarmName": "a", **plain}


def test_what_a_role_is_denied_is_a_warning_and_each_kind_of_decision_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    role_of = {"of-worker": "Worker", "of-owner": ""}.__getitem__
    enforce = iam_patches.log_decisions(
        role_of, lambda _key, action, *_: None if action == "s3:GetObject" else "denied"
    )
    caplog.set_level("INFO")
    results = f"arn:aws:s3:::b/results/acme/job_{'0' * 26}"
    for key, action, resource in (
        ("of-worker", "s3:GetObject", results),
        ("of-worker", "s3:GetObject", results.replace("0", "1")),
        ("of-owner", "s3:GetObject", results),
        ("of-worker", "s3:PutObject", results),
    ):
        assert (enforce(key, action, "s3", "us-east-1", resource) is None) is (action == "s3:GetObject")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", f"IAM allows Worker s3:GetObject on {results}"),
        ("WARNING", f"IAM denies Worker s3:PutObject on {results}"),
    ]


def test_a_batch_of_messages_needs_the_permission_of_one() -> None:
    enforce = iam_patches.check_single_actions(lambda _key, action, *_: action)
    asked = ["sqs:SendMessageBatch", "sqs:DeleteMessageBatch", "sqs:SendMessage", "dynamodb:BatchGetItem"]
    assert [enforce("key", action, "sqs", "us-east-1") for action in asked] == [
        "sqs:SendMessage",
        "sqs:DeleteMessage",
        "sqs:SendMessage",
        "dynamodb:BatchGetItem",
    ]


def test_a_long_poll_looks_often() -> None:
    looked = sqs_patches.look_often(asyncio)
    began = time.monotonic()
    asyncio.run(looked.sleep(60))
    assert time.monotonic() - began < 30
    assert looked.iscoroutine is asyncio.iscoroutine

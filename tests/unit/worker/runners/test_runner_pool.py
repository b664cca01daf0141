"""Runners as processes: how they end, what ends with them, and what they leave to the next job. Without AWS."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from coatcheck.core.job import Progress
from coatcheck.core.log import log_context
from coatcheck_worker.protocol import Continued, Raised, Returned, RunJob
from coatcheck_worker.runners import AttemptPort, Died, Ended
from coatcheck_worker.supervisor.forkserver_client import ForkserverClient
from coatcheck_worker.supervisor.handler_environment import environment_for_handlers
from coatcheck_worker.supervisor.runner_pool import LentRunner, RunnerPool
from tests.waiting import eventually

JOB_TYPES = "tests.unit.worker.runners.job_types"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "COATCHECK_TABLE": "table",
}


class Port:
    """A supervisor that is asked for nothing."""

    def report_progress(self, progress: Progress) -> None:
        raise AssertionError(progress)

    def read_secret(self, name: str) -> str:
        raise AssertionError(name)

    def checkpoint_room(self) -> int:
        raise AssertionError

    def sign(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        raise AssertionError((method, url, headers))


@pytest.fixture(scope="module")
def pool() -> Iterator[RunnerPool]:
    """A pool whose forkserver has the handlers of `job_types`."""
    environ = environment_for_handlers({**os.environ, **SECRETS, "AWS_DEFAULT_REGION": "eu-west-1"}, {})
    made = RunnerPool(ForkserverClient(environ, megabytes=1024, module=JOB_TYPES))
    yield made
    made.close()


def run_with(runner: LentRunner, job_type: str, text: str = "", port: AttemptPort | None = None) -> Ended | Died:
    given = json.dumps({"text": text}).encode()
    with runner.workdir() as workdir:
        job = RunJob(
            tenant="acme",
            id="job_1",
            type=job_type,
            lane="default",
            created_at=0,
            attempt=1,
            counted_attempt=1,
            counted_max_attempts=3,
            deadline=4_000_000_000_000,
            bucket="bucket",
            workdir=str(workdir),
            input_size=len(given),
            has_checkpoint=False,
        )
        return runner.run(job, given, port or Port())


def run(pool: RunnerPool, job_type: str, text: str = "") -> Ended | Died:
    with pool.take(job_type) as runner:
        return run_with(runner, job_type, text)


def returned(ended: Ended | Died) -> str:
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Returned)
    text = json.loads(ended.inline)["text"]
    assert isinstance(text, str)
    return text


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_process_runs_one_job_after_another(pool: RunnerPool) -> None:
    assert returned(run(pool, "process")) == returned(run(pool, "process"))


def test_jobs_side_by_side_have_processes_of_their_own(pool: RunnerPool) -> None:
    with pool.take("process") as one, pool.take("process") as other:
        assert returned(run_with(one, "process")) != returned(run_with(other, "process"))


def test_a_fresh_process_runs_one_job(pool: RunnerPool) -> None:
    assert len({returned(run(pool, job_type)) for job_type in ("process", "fresh", "fresh", "process")}) == 3


@pytest.mark.parametrize(
    ("job_type", "trace"),
    [("changes.folder", "working folder"), ("starts.child", "child processes"), ("starts.daemon", "child processes")],
)
def test_a_process_with_traces_runs_no_other_job_and_is_named(
    pool: RunnerPool, job_type: str, trace: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pool.take("process") as runner:
        before = returned(run_with(runner, "process"))
        text = str(tmp_path) if job_type == "changes.folder" else str(tmp_path / "process")
        ended = run_with(runner, job_type, text)
    assert isinstance(ended, Ended)
    assert (ended.outcome.last, ended.outcome.traces) == (True, [trace])
    assert trace in caplog.text
    eventually(lambda: has_ended(int(before)))
    assert returned(run(pool, "process")) != before


@pytest.mark.parametrize("job_type", ["starts.child", "starts.daemon"])
def test_what_a_job_started_ends_with_it(pool: RunnerPool, job_type: str, tmp_path: Path) -> None:
    returned(run(pool, job_type, str(tmp_path / "process")))
    eventually(lambda: has_ended(int((tmp_path / "process").read_text())))


def test_what_is_no_exception_ends_the_process_after_its_job(pool: RunnerPool) -> None:
    with pool.take("process") as runner:
        before = returned(run_with(runner, "process"))
        ended = run_with(runner, "leaves")
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Raised)
    assert (ended.outcome.error, ended.outcome.name, ended.outcome.last) == ("error", "SystemExit", True)
    assert returned(run(pool, "process")) != before


def test_a_crash_is_known_at_once_with_its_signal_and_its_last_words(pool: RunnerPool) -> None:
    began = time.monotonic()
    died = run(pool, "aborts")
    assert died == Died("its process was killed by signal 6 (SIGABRT)", ("last words",))
    assert time.monotonic() - began < 10
    assert returned(run(pool, "process"))


def test_a_process_that_was_killed_between_two_jobs_is_replaced(pool: RunnerPool) -> None:
    before = int(returned(run(pool, "process")))
    os.kill(before, signal.SIGKILL)
    eventually(lambda: has_ended(before))
    eventually(lambda: not any(runner.usable for runner in pool._idle))
    assert int(returned(run(pool, "process"))) != before


@pytest.mark.parametrize("job_type", ["removes.folder", "replaces.folder"])
def test_a_job_that_removes_its_folder_has_its_outcome_and_the_next_has_a_folder(
    pool: RunnerPool, job_type: str
) -> None:
    assert returned(run(pool, job_type)) == ""
    assert returned(run(pool, "process"))


def test_a_runner_whose_folder_was_removed_meanwhile_is_replaced(pool: RunnerPool) -> None:
    before = returned(run(pool, "process"))
    for runner in pool._idle:
        shutil.rmtree(runner.scratch)
    with pytest.raises(FileNotFoundError):
        run(pool, "process")
    assert returned(run(pool, "process")) != before


def test_a_job_hears_that_it_has_to_stop(pool: RunnerPool, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with pool.take("looks") as runner, _when(begun.exists, lambda: runner.stop("the job was canceled")):
        ended = run_with(runner, "looks", str(begun))
    assert raised(ended) == ("stopped", "Stopped")
    assert returned(run(pool, "looks.once")) == "was not stopped"


def test_a_stop_before_the_job_has_begun_is_not_lost(pool: RunnerPool, tmp_path: Path) -> None:
    for _ in range(20):
        with pool.take("looks") as runner:
            runner.stop("the job was canceled")
            ended = run_with(runner, "looks", str(tmp_path / "begun"))
        assert raised(ended) == ("stopped", "Stopped")


def test_what_comes_too_late_does_not_reach_the_next_job(pool: RunnerPool) -> None:
    with pool.take("process") as earlier:
        before = returned(run_with(earlier, "process"))
    with pool.take("process") as later:
        earlier.stop("the job was canceled")
        earlier.kill()
        assert returned(run_with(later, "process")) == before


def test_a_killed_runner_takes_along_what_its_handler_started(pool: RunnerPool, tmp_path: Path) -> None:
    child = tmp_path / "process"
    with pool.take("never.looks") as runner, _when(lambda: _written(child), runner.kill):
        ended = run_with(runner, "never.looks", str(child))
    assert ended == Died("its process was killed by signal 9 (SIGKILL)")
    eventually(lambda: has_ended(int(child.read_text())))


def test_a_handler_has_no_credentials_and_an_empty_input(pool: RunnerPool) -> None:
    assert not {*returned(run(pool, "credentials")).split(",")} & SECRETS.keys()
    assert returned(run(pool, "reads.stdin")) == ""


def test_a_checkpoint_goes_into_the_row_that_has_room_for_it(pool: RunnerPool) -> None:
    class Roomy(Port):
        def checkpoint_room(self) -> int:
            return 100

    with pool.take("continues") as runner:
        ended = run_with(runner, "continues", port=Roomy())
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Continued)
    assert ended.outcome.inline
    assert json.loads(ended.inline) == {"at": 1}


def test_a_line_of_a_handler_is_a_line_of_its_job(pool: RunnerPool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), log_context(job="job_1"):
        returned(run(pool, "logs"))
    (line,) = [record for record in caplog.records if record.getMessage() == "said"]
    assert (line.name, vars(line)["page"]) == ("job.coatcheck_worker", 3)
    assert "job" not in vars(line)


def raised(ended: Ended | Died) -> tuple[str, str]:
    assert isinstance(ended, Ended)
    assert isinstance(ended.outcome, Raised)
    return ended.outcome.error, ended.outcome.name


def _written(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


@contextmanager
def _when(holds: Callable[[], bool], action: Callable[[], None]) -> Iterator[None]:
    def act() -> None:
        eventually(holds)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()

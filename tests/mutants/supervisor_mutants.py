"""Bugs in supervisor and runner: in what an attempt ends as, in what a runner leaves, and in what it is allowed."""

from __future__ import annotations

import os
from typing import Any

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job
from coatcheck_worker.dependencies import Ack
from coatcheck_worker.runner import execution, forkserver
from coatcheck_worker.runner.main_loop import ChannelPort
from coatcheck_worker.runner.traces import Snapshot
from coatcheck_worker.runners import Died
from coatcheck_worker.s3_signing import AttemptKeys
from coatcheck_worker.supervisor import (
    forkserver_client,
    handler_environment,
    poller,
    runner_log,
    settle,
)
from coatcheck_worker.supervisor.attempt import JobAttempt
from coatcheck_worker.supervisor.deleter import Deleter
from coatcheck_worker.supervisor.runner_output import RunnerOutput
from coatcheck_worker.supervisor.runner_pool import LentRunner
from coatcheck_worker.supervisor.runner_process import RunnerProcess
from tests.mutants.mutant import Mutant, patched, returning, with_arguments

RUNNERS = "tests/unit/worker/runners/test_runner_pool.py"
SIGNING = "tests/unit/worker/test_s3_signing.py"
SIDE_BY_SIDE = "tests/aws/worker/test_side_by_side.py"


def _always_crashed(settled: Any) -> Any:
    return lambda self, ended: self._crashed(ended) if isinstance(ended, Died) else settled(self, ended)


def _never_crashed(settled: Any) -> Any:
    return lambda self, ended: self._stop() if isinstance(ended, Died) else settled(self, ended)


def _uncounted(_: Any) -> Any:
    def failed(dependencies: Any, job: Job, _served: Any, error: Any, **_given: Any) -> Any:
        return settle._retry(dependencies, job, error, 1, counted=False)

    return failed


def _counted(retry: Any) -> Any:
    return lambda *args, **given: retry(*args, **given | {"counted": True})


def _not_written(_: Any) -> Any:
    def read_instead(table: str, job: Job, _made: Any, **_given: Any) -> Call[Any]:
        return job_items.get_job(table, JobKey(job.tenant, job.id))

    return read_instead


def _without_the_last(delete: Any) -> Any:
    return lambda self, batch: delete(self, batch[:-1])


def _not_last(raised: Any) -> Any:
    def ended(*args: Any, **given: Any) -> Any:
        answer = raised(*args, **given)
        return execution.EndedAttempt(answer.outcome.model_copy(update={"last": False}))

    return ended


def _never_fresh() -> None:
    patched(forkserver_client, "ServedType", with_arguments(fresh=False))()


def _kept_to_itself(self: LentRunner) -> None:
    self._begun = True


def _spared() -> None:
    """The group of a runner is spared by who kills it, and by who reaps it."""
    patched(os, "killpg", returning())()
    patched(forkserver, "_kill_group", returning())()
    patched(forkserver, "_children", returning(set()))()


MUTANTS = (
    Mutant("a crash waits for its lease to run out", patch=patched(JobAttempt, "_crashed", returning(Ack()))),
    Mutant("a runner that had to end counts as crashed", patch=patched(JobAttempt, "_settle", _always_crashed)),
    Mutant("a crash is taken for a worker that ends", patch=patched(JobAttempt, "_settle", _never_crashed)),
    Mutant("a failed attempt is not counted", patch=patched(settle, "_failed", _uncounted)),
    Mutant("an attempt that is handed back is counted", patch=patched(settle, "_retry", _counted)),
    Mutant("artifacts are counted and not listed", patch=patched(job_items, "put_artifacts", _not_written)),
    Mutant(
        "a runner sends results that the row does not take",
        patch=patched(execution, "MAX_RESULT_IN_ROW", lambda _: 100 * MAX_RESULT_IN_ROW),
    ),
    Mutant(
        "traces are overlooked",
        patch=patched(Snapshot, "changes", returning([])),
        test=f"{RUNNERS}::test_a_process_with_traces_runs_no_other_job_and_is_named",
    ),
    Mutant(
        "a runner goes on after an exception that ends processes",
        patch=patched(execution, "_raised", _not_last),
        test=f"{RUNNERS}::test_what_is_no_exception_ends_the_process_after_its_job",
    ),
    Mutant(
        "a dead runner is lent",
        patch=patched(RunnerProcess, "usable", lambda _: property(lambda self: not self.last)),
        test=f"{RUNNERS}::test_a_process_that_was_killed_between_two_jobs_is_replaced",
    ),
    Mutant(
        "a runner with traces is lent",
        patch=patched(RunnerProcess, "usable", lambda _: property(lambda self: not self._ended.is_set())),
        test=f"{RUNNERS}::test_a_process_with_traces_runs_no_other_job_and_is_named",
    ),
    Mutant("a fresh runner is lent again", patch=_never_fresh, test=f"{RUNNERS}::test_a_fresh_process_runs_one_job"),
    Mutant(
        "a stop is not passed on",
        patch=patched(LentRunner, "stop", returning()),
        test=f"{RUNNERS}::test_a_job_hears_that_it_has_to_stop",
    ),
    Mutant(
        "a stop before the attempt has begun is lost",
        patch=patched(LentRunner, "_has_begun", lambda _: _kept_to_itself),
        test=f"{RUNNERS}::test_a_stop_before_the_job_has_begun_is_not_lost",
    ),
    Mutant(
        "a stop that comes late ends the next job",
        patch=patched(LentRunner, "give_back", returning()),
        test=f"{RUNNERS}::test_what_comes_too_late_does_not_reach_the_next_job",
    ),
    Mutant(
        "a runner remembers the stop of the job before",
        patch=patched(ChannelPort, "begin", returning()),
        test=f"{RUNNERS}::test_a_job_hears_that_it_has_to_stop",
    ),
    Mutant(
        "orphans are left alone",
        patch=patched(forkserver, "_children", returning(set())),
        test=f"{RUNNERS}::test_what_a_job_started_ends_with_it",
    ),
    Mutant(
        "what a handler started outlives its runner",
        patch=_spared,
        test=f"{RUNNERS}::test_a_killed_runner_takes_along_what_its_handler_started",
    ),
    Mutant(
        "the last words of a runner are lost",
        patch=patched(RunnerOutput, "end", returning(())),
        test=f"{RUNNERS}::test_a_crash_is_known_at_once_with_its_signal_and_its_last_words",
    ),
    Mutant(
        "handlers get the credentials of the worker",
        patch=patched(handler_environment, "SECRET_VARIABLES", lambda _: frozenset()),
        test=f"{RUNNERS}::test_a_handler_has_no_credentials_and_an_empty_input",
    ),
    Mutant(
        "a line of a handler says that it is another job's",
        patch=patched(runner_log, "context_members", returning({})),
        test=f"{RUNNERS}::test_a_line_of_a_handler_is_a_line_of_its_job",
    ),
    Mutant(
        "an attempt may write to other jobs",
        patch=patched(AttemptKeys, "may_write", returning(answer=True)),
        test=SIGNING,
    ),
    Mutant(
        "an attempt may read what other jobs were given",
        patch=patched(AttemptKeys, "may_read", returning(answer=True)),
        test=SIGNING,
    ),
    Mutant(
        "more is received than can be run",
        patch=patched(poller.Poller, "receive", lambda receive: lambda self, _: receive(self, 10)),
        test=SIDE_BY_SIDE,
    ),
    Mutant(
        "of each batch one message is not deleted",
        patch=patched(Deleter, "_delete", _without_the_last),
        test=SIDE_BY_SIDE,
    ),
)

"""How the attempt of each hostile handler ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coatcheck.core.lifecycle import Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """A status; the code and a pattern of the detail of the error, if there is one; what the result says.

    `traces` is a part of the warning on what the job left in its process. `stops`: it has to be stopped at its timeout.
    """

    status: Status
    code: str | None = None
    detail: str = ""
    text: str | None = None
    traces: str | None = None
    stops: bool = False


def failed(name: str) -> Outcome:
    """The handler raised an exception of this name."""
    return Outcome(Status.FAILED, "handler-error", f"the handler raised {name} in attempt 1 of 1")


def crashed(how: str) -> Outcome:
    """Its process ended."""
    return Outcome(Status.FAILED, "handler-crashed", f"attempt 1 of 1: its process {how}")


def rejected(reason: str) -> Outcome:
    """The handler refused the job."""
    return Outcome(Status.FAILED, "rejected", reason)


def bad_result(detail: str) -> Outcome:
    """The handler returned what its type does not."""
    return Outcome(Status.FAILED, "bad-result", detail)


def left(traces: str) -> Outcome:
    """The job succeeded, and no other runs in its process."""
    return Outcome(Status.SUCCEEDED, text="done", traces=traces)


def said(text: str) -> Outcome:
    """The job succeeded, and its result is this."""
    return Outcome(Status.SUCCEEDED, text=text)


STOPPED = Outcome(Status.TIMED_OUT, "timed-out", "attempt 1 was stopped at its time limit of 2 s", stops=True)
CRASHED_BY_KILL = crashed(r"was killed by signal 9 \(SIGKILL\)")

EXPECTED: Mapping[str, Outcome] = {
    "works": said("done"),
    "exits_with_3": failed("SystemExit"),
    "exits_with_0": failed("SystemExit"),
    "ends_with_0": crashed("ended with exit status 0"),
    "ends_with_4": crashed("ended with exit status 4"),
    "aborts": crashed(r"was killed by signal 6 \(SIGABRT\)"),
    "crashes": crashed(r"was killed by signal 11 \(SIGSEGV\)"),
    "kills_itself": CRASHED_BY_KILL,
    "terminates_itself": crashed(r"was killed by signal 15 \(SIGTERM\)"),
    "interrupts_itself": failed("KeyboardInterrupt"),
    "stops_itself": STOPPED,
    "kills_its_group": CRASHED_BY_KILL,
    "becomes_another": crashed("ended with exit status 5"),
    "closes_all": crashed("broke its connection to the worker"),
    "writes_garbage": crashed("broke its connection to the worker"),
    "answers_twice": crashed("broke its connection to the worker"),
    "holds_the_gil": STOPPED,
    "never_looks": STOPPED,
    "swallows_stops": STOPPED,
    "swallows_signals": STOPPED,
    "waits": STOPPED,
    "swallows_cancellation": STOPPED,
    "tasks_look": said("done"),
    "rejects_in_a_task": rejected("in a task"),
    "recurses": failed("RecursionError"),
    "asks_for_much_memory": failed("MemoryError"),
    "takes_memory": failed("MemoryError"),
    "keeps_memory": left("MB of memory"),
    "prints_much": said("done"),
    "floods_stdout": said("done"),
    "redirects_stderr": said("captured"),
    "logs_much": said("done"),
    "replaces_stdout": left("sys.stdout"),
    "closes_stdout": said("done"),
    "changes_folder": left("working folder"),
    "changes_umask": left("umask"),
    "changes_environment": left(r"environment variables \(NEW\)"),
    "clears_environment": left("environment variables"),
    "changes_locale": left("locale"),
    "handles_signals": left("signal handlers"),
    "leaves_an_alarm": left("timers"),
    "changes_tempdir": left("tempfile.tempdir"),
    "leaves_a_thread": left("1 thread"),
    "leaves_a_thread_that_lasts": left("1 thread"),
    "leaves_a_child": left("child processes"),
    "forks": left("child processes"),
    "daemonizes": left("child processes"),
    "bombs": STOPPED,
    "leaves_grandchildren": STOPPED,
    "reads_stdin": said("done"),
    "patches_json": left("json.dumps"),
    "patches_time": left("time.time"),
    "patches_open": left("builtins.open"),
    "breaks_the_protocol": crashed("ended with exit status 71"),
    "traces": left("trace or profile function"),
    "changes_recursion": left("recursion limit"),
    "limits_descriptors": left("limits"),
    "spends_processor_time": crashed(r"was killed by signal (24 \(SIGXCPU\)|9 \(SIGKILL\))"),
    "writes_to_a_full_disk": replace(failed("OSError"), traces="limits"),
    "leaves_files": said("done"),
    "finds_files": said(""),
    "removes_its_folder": said("done"),
    "listens": said("done"),
    "signals_those_around": said("3 of 3 refused"),
    "asks_for_all": said("0 given"),
    "reaches": said("files-of-neighbours network"),
    "reports": said("done"),
    "yields_forever": STOPPED,
    "reads_a_pipe": STOPPED,
    "names_no_file": failed("FileNotFoundError"),
    "returns_nothing": bad_result("hostile.returns_nothing returned None, not Answer"),
    "returns_a_dict": bad_result("hostile.returns_a_dict returned dict, not Answer"),
    "returns_empty_dict": bad_result("hostile.returns_empty_dict returned dict, not Answer"),
    "raises_base_exception": failed("BaseException"),
    "raises_generator_exit": failed("GeneratorExit"),
    "raises_memory_error": failed("MemoryError"),
    "raises_stopped": failed("Stopped"),
    "raises_unprintable": failed("Unprintable"),
    "raises_much": failed("ValueError"),
    "raises_a_strange_class": Outcome(Status.FAILED, "handler-error", "the handler raised A\ufffd\nA"),
    "rejects_none": rejected("the handler gave no reason"),
    "rejects_bytes": rejected("caf\ufffd"),
    "rejects_in_groups": rejected("deep"),
    "retries_never": Outcome(Status.FAILED, "handler-error", "the handler asked to be run later"),
}

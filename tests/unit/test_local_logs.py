"""What `coatcheck up` writes on the terminal, and what it leaves out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from coatcheck_infra.local.emulator import EmulatorLog
from coatcheck_infra.local.terminal import COLOURS, Terminal


def terminal(**how: object) -> tuple[Terminal, io.StringIO]:
    written = io.StringIO()
    return Terminal(Console(file=written, highlight=False, soft_wrap=True, **how)), written  # type: ignore[arg-type]


def test_each_line_stands_behind_its_part() -> None:
    shown, written = terminal(width=40)
    shown.line_writer("api")("x" * 100)
    shown.line_writer("sweeper")("[bold]not markup[/bold] :smile: http://127.0.0.1/")
    assert written.getvalue() == (
        f"api       │ {'x' * 100}\nsweeper   │ [bold]not markup[/bold] :smile: http://127.0.0.1/\n"
    )


@pytest.mark.parametrize("part", COLOURS)
def test_a_name_is_coloured_on_a_terminal_only(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown, written = terminal(force_terminal=True)
    shown.line_writer(part)("hello")
    assert written.getvalue().startswith("\x1b[")
    assert written.getvalue().endswith("hello\n")

    monkeypatch.setenv("NO_COLOR", "1")
    shown, written = terminal(force_terminal=True)
    shown.line_writer(part)("hello")
    assert "\x1b[3" not in written.getvalue()


def emulator_log(*, verbose: bool = False) -> tuple[EmulatorLog, io.BytesIO, io.StringIO]:
    shown, written = terminal()
    kept = io.BytesIO()
    return EmulatorLog(kept, shown, verbose=verbose), kept, written


NOISE = [
    "2026-11-22 16:36:53 INFO [ministack] Ready",
    "  a banner",
    "2026-11-22 16:36:56 ERROR [lambda] poller error",
    "Traceback (most recent call last):",
    "2026-11-22 16:36:57 INFO [s3] bucket created",
]


def test_of_the_emulator_only_trouble_is_shown_and_all_is_kept() -> None:
    log, kept, written = emulator_log()
    for line in NOISE:
        log(line)
    assert kept.getvalue().decode().splitlines() == NOISE
    assert written.getvalue().splitlines() == [f"aws       │ {line}" for line in NOISE[2:4]]
    assert list(log.tail) == NOISE


def test_all_of_the_emulator_is_shown_when_asked_for() -> None:
    log, _, written = emulator_log(verbose=True)
    for line in NOISE:
        log(line)
    assert written.getvalue().splitlines() == [f"aws       │ {line}" for line in NOISE]


def test_a_function_speaks_in_the_name_of_its_part() -> None:
    log, _, written = emulator_log()
    log.function_labels = {"coatcheck-Sweeper-1": "sweeper"}
    log("lambda coatcheck-Sweeper-1 swept 3")
    log("lambda another hello")
    assert written.getvalue() == "sweeper   │ swept 3\naws       │ hello\n"


@pytest.mark.parametrize("verbose", [False, True])
def test_the_metrics_of_a_function_are_shown_only_when_all_is_asked_for(*, verbose: bool) -> None:
    log, kept, written = emulator_log(verbose=verbose)
    line = 'lambda coatcheck-Api {"_aws":{"Timestamp":1,"CloudWatchMetrics":[]}}'
    log(line)
    assert kept.getvalue().decode() == f"{line}\n"
    assert bool(written.getvalue()) is verbose


def test_a_full_disk_ends_the_keeping_of_the_log_and_nothing_else() -> None:
    shown, written = terminal()
    with Path("/dev/full").open("wb", buffering=0) as full:
        log = EmulatorLog(full, shown, verbose=False)
        for line in NOISE:
            log(line)
    said = written.getvalue().splitlines()
    assert said[0] == "aws       │ the log file cannot be written any more: No space left on device"
    assert said[1:] == [f"aws       │ {line}" for line in NOISE[2:4]]


def test_a_function_of_another_name_is_shown_all_the_same(tmp_path: Path) -> None:
    shown, written = terminal()
    with (tmp_path / "log").open("wb") as file:
        emulator_log = EmulatorLog(file, shown, verbose=False)
        emulator_log.function_labels = {"Stack-Authorizer-1": "authorizer"}
        emulator_log("lambda Stack-Authorizer-1 hello")
    assert written.getvalue() == "authorizer │ hello\n"

"""Prints the log lines of a job: those of a stack's log groups, or those that `coatcheck up` has kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import typer

from coatcheck.cli import exit_codes
from coatcheck.cli.display import print_lines, print_message
from coatcheck.client.exceptions import InvalidArgumentError, NoServerError
from coatcheck.client.server_config import START_HINT
from coatcheck.core.clock import DAY, system_clock
from coatcheck.core.ids import is_id
from coatcheck_infra.local.log_file import LOG_FILE, kept_lines
from coatcheck_infra.ops.error_reports import report_errors
from coatcheck_infra.ops.logs.cloudwatch import log_groups, matching_lines
from coatcheck_infra.ops.logs.line_format import readable
from coatcheck_infra.ops.stack_session import session_of


def show(job: str, stack: str | None, *, days: int, limit: int, as_json: bool) -> None:
    """Print up to `limit` lines of a job.

    Raises CoatcheckError, and typer.Exit if there are none or after an error of AWS was reported.
    """
    if not is_id("job", job):
        raise InvalidArgumentError(f"{job!r} is not the id of a job, which begins with job_")
    if as_json and stack is None:
        raise InvalidArgumentError("--json needs --stack: `coatcheck up` logs text")
    with report_errors("logs"):
        found = list(islice(_lines(job, stack, days), limit + 1))
    for line in found[:limit]:
        print_lines(line if as_json or stack is None else readable(line))
    if not found:
        where = f"of the last {days} days in {stack}" if stack else "that `coatcheck up` has kept"
        print_message(f"no line {where} names {job}")
        raise typer.Exit(exit_codes.NOT_FOUND)
    if len(found) > limit:
        print_message(f"these are the first {limit} lines; for more, raise --limit")


def _lines(job: str, stack: str | None, days: int) -> Iterable[str]:
    if stack is None:
        return of_job(kept_lines(_local_logs(os.environ, Path.cwd())), job)
    session = session_of(stack, Path.cwd())
    groups = log_groups(session, stack)
    return matching_lines(session, groups, job, since=system_clock() - days * DAY)


def of_job(lines: Iterable[str], job: str) -> Iterator[str]:
    """The lines that name a job, each with the indented ones that follow it: a trace, say."""
    goes_on = False
    for line in lines:
        _, _, text = line.partition(" │ ")
        goes_on = job in text or (goes_on and text.startswith("  "))
        if goes_on:
            yield line


def _local_logs(environ: Mapping[str, str], here: Path) -> Path:
    """The folder with the log of the `coatcheck up` of a folder. It need not run any more. Raises NoServerError."""
    home = environ.get("COATCHECK_HOME")
    homes = [here / home] if home else [folder / ".coatcheck" for folder in (here, *here.parents)]
    for folder in homes:
        if (folder / "logs" / LOG_FILE).is_file():
            return folder / "logs"
    raise NoServerError(f"no logs here: {START_HINT}, or give --stack NAME, a stack of your AWS account")

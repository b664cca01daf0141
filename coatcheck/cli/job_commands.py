"""The commands of the command line, one function each. What is heavy is imported by the command that needs it."""

from __future__ import annotations

import contextlib
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coatcheck.cli import display, stdio
from coatcheck.cli.display import print_message
from coatcheck.cli.options import ApiKey, JobId, Json, Output, Url, connect
from coatcheck.cli.submission import (
    Delay,
    IdempotencyKey,
    JobInput,
    JobTypeName,
    Metadata,
    Resume,
    Submission,
    Timeout,
    Uploads,
    Urgency,
    Webhook,
    require_success,
    wait_for,
)
from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.client.job import Job

if TYPE_CHECKING:
    from coatcheck.client.sync_client import Client


def submit(
    job_type: JobTypeName,
    *,
    job_input: JobInput = "{}",
    upload: Uploads = None,
    resume: Resume = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait until the job is done. Ctrl-C stops waiting.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
    delay: Delay = None,
    timeout: Timeout = None,
    priority: Urgency = None,
    metadata: Metadata = None,
    webhook: Webhook = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Submit a job and print its id."""
    submission = Submission.parse(
        job_type,
        job_input,
        upload=upload,
        resume=resume,
        delay=delay,
        timeout=timeout,
        priority=priority,
        metadata=metadata,
        webhook=webhook,
        idempotency_key=idempotency_key,
    )
    job = submission.send(url, api_key)
    if not as_json:
        _print_id(job)
    if wait and not job.done:
        job = wait_for(job, url, api_key)
    _report(job, as_json=as_json, waited=wait)


def run(
    job_type: JobTypeName,
    *,
    job_input: JobInput = "{}",
    upload: Uploads = None,
    resume: Resume = None,
    output: Output = None,
    idempotency_key: IdempotencyKey = None,
    timeout: Timeout = None,
    priority: Urgency = None,
    metadata: Metadata = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Submit a job, wait until it is done, and print its result. Ctrl-C stops waiting; the job goes on."""
    submission = Submission.parse(
        job_type,
        job_input,
        upload=upload,
        resume=resume,
        timeout=timeout,
        priority=priority,
        metadata=metadata,
        idempotency_key=idempotency_key,
    )
    job = submission.send(url, api_key)
    if not job.done:
        print_message(f"submitted {job.id}")
        job = wait_for(job, url, api_key)
    require_success(job)
    with connect(url, api_key) as client:
        _fetch(client, job, output)


def _print_id(job: Job) -> None:
    try:
        print(job.id, flush=True)  # noqa: T201 - what a script captures
    except stdio.StreamFailed:
        print_message(f"submitted: {job.id}")
        raise


def _report(job: Job, *, as_json: bool, waited: bool) -> None:
    if as_json:
        display.print_json(job.view)
    if waited:
        require_success(job)
    if not as_json:
        print_message(_next_step(job))


def status(job_id: JobId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the state of a job."""
    with connect(url, api_key) as client:
        view = client.job(job_id).view
    (display.print_json if as_json else display.print_job)(view)


def result(
    job_id: JobId,
    *,
    output: Output = None,
    name: Annotated[str | None, typer.Option(metavar="ARTIFACT", help="Fetch this artifact instead.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Fetch the result of a job, checked against its sha256. With --json: where it is, instead of what it is."""
    with connect(url, api_key) as client:
        job = client.job(job_id)
        if job.done:
            require_success(job)
        if as_json:
            display.print_json(client.result_link(job.id, name))
        if output or not as_json:
            _fetch(client, job, output, name)


def _fetch(client: Client, job: Job, output: Path | None, name: str | None = None) -> None:
    """Write the result, or the artifact `name`, to the file `output` or to standard output."""
    if output:
        with display.transfer_bar(str(output)) as progress:
            client.download(job, output, name, progress=progress)
    elif sys.stdout.isatty():
        _refuse_binary(job, name)
        with contextlib.closing(display.TerminalText()) as terminal:
            client.read_result(job, terminal, name)
    else:
        client.read_result(job, sys.stdout.buffer, name)


def cancel(job_id: JobId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Ask a job to stop."""
    with connect(url, api_key) as client:
        job = client.cancel(job_id)
    if as_json:
        display.print_json(job.view)
    else:
        print_message(f"{job.id} is {job.status}")


def list_jobs(
    *,
    job_status: Annotated[str | None, typer.Option("--status", help="Only jobs with this status.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 25,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """List your jobs, newest first."""
    filters = {"status": job_status, "type": job_type, "limit": str(min(limit, 100))}
    with connect(url, api_key) as client:
        jobs = islice(client.jobs(**{k: v for k, v in filters.items() if v is not None}), limit)
        views = (job.view for job in jobs)
        if as_json:
            display.print_json_lines(views)
        else:
            display.print_table(display.SUMMARY_HEADERS, [display.summary_row(view) for view in views])


def types(
    job_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="Show this one with its schemas.")] = None,
    *,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """List the job types of the server, or show one with its schemas."""
    with connect(url, api_key) as client:
        if job_type:
            display.print_json(client.job_type(job_type))
        elif as_json:
            display.print_json_lines(client.job_types())
        else:
            display.print_table(("type", "title"), [(t.get("name"), t.get("title")) for t in client.job_types()])


def events(
    job_id: JobId,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until the job is done. Ctrl-C stops.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show the history of a job, oldest first."""
    with connect(url, api_key) as client:
        history = client.follow(job_id) if follow else client.events(job_id)
        if as_json:
            display.print_json_lines(history)
        elif follow:
            display.print_event_lines(history)
        else:
            display.print_events(history)


def _next_step(job: Job) -> str:
    known = " (the same job as before)" if job.replayed else ""
    advice = "fetch the result with: coatcheck result" if job.succeeded else "follow it with: coatcheck status"
    return f"{job.status}{known}; {advice} {job.id}"


def _refuse_binary(job: Job, name: str | None) -> None:
    stored = job.stored(name)
    if stored and not _is_text(stored.content_type):
        raise InvalidArgumentError(
            f"the result is {stored.content_type}, not text for a terminal: give -o FILE, or pipe it"
        )


def _is_text(content_type: str) -> bool:
    essence = content_type.partition(";")[0].strip().lower()
    return essence.startswith("text/") or essence.endswith(("/json", "+json", "/x-ndjson", "/xml", "+xml"))

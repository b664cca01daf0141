"""The commands of the command line, one function each. What is heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coatcheck.cli import display, exit_codes, input_arguments, stdio
from coatcheck.cli.display import print_message
from coatcheck.cli.options import ApiKey, JobId, Json, Url, connect
from coatcheck.client import operations
from coatcheck.client.exceptions import CoatcheckError, InvalidArgumentError, describe
from coatcheck.client.file_upload import upload_name
from coatcheck.client.job import Job

if TYPE_CHECKING:
    from coatcheck.client.sync_client import Client

RETRY_TIMEOUT_WHILE_WAITING = 60.0


def submit(
    job_type: Annotated[str, typer.Argument(metavar="TYPE", help="The job type: see `coatcheck types`.")],
    *,
    job_input: Annotated[
        str, typer.Option("--input", "-i", metavar="JSON|@FILE|-", help="The input: JSON, a file of it, or stdin.")
    ] = "{}",
    upload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=PATH",
            help="Upload a file and name it in the input: tables.flights=f.csv, images[]=a.jpg. Repeatable.",
        ),
    ] = None,
    resume: Annotated[
        list[str] | None,
        typer.Option(metavar="UPLOAD", help="Resume this upload of one of the files. Repeatable."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait until the job is done. Ctrl-C stops waiting.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Submit at most once under this key. Default: random.")
    ] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="Start no sooner than this from now.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long an attempt may run.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the job, for you. Repeatable.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Have this URL called when the job has ended.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Submit a job and print its id."""
    document = input_arguments.read_input(job_input, stdio.read_input)
    attachments = [input_arguments.read_attachment(text) for text in upload or ()]
    parsed_metadata = input_arguments.read_metadata(metadata or ()) or None
    webhook_options = {"url": webhook} if webhook else None
    durations = {
        "delay": input_arguments.read_seconds("--delay", delay),
        "timeout": input_arguments.read_seconds("--timeout", timeout),
    }
    options = {**durations, "metadata": parsed_metadata, "webhook": webhook_options}
    # a field that does not fit is found before anything is sent
    _attach(document, attachments, str)
    begun: list[str] = []
    with connect(url, api_key) as client, _resume_hint(begun):
        resumed = _find_uploads(client, resume or (), [attachment.path for attachment in attachments])
        document = _attach(document, attachments, lambda path: _upload(client, path, resumed.get(path), begun))
        job = client.submit(job_type, document, idempotency_key=idempotency_key, **options)
    if not as_json:
        _print_id(job)
    if wait and not job.done:
        job = _wait(job, url, api_key)
    _report(job, as_json=as_json, waited=wait)


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
        _require_success(job)
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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to. Default: standard output.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="ARTIFACT", help="Fetch this artifact instead.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Fetch the result of a job, checked against its sha256. With --json: where it is, instead of what it is."""
    with connect(url, api_key) as client:
        job = client.job(job_id)
        if job.done:
            _require_success(job)
        if as_json:
            display.print_json(client.result_link(job.id, name))
        if output:
            with display.transfer_bar(str(output)) as progress:
                client.download(job, output, name, progress=progress)
        elif not as_json:
            _refuse_binary_on_terminal(job, name)
            client.read_result(job, display.TerminalText() if sys.stdout.isatty() else sys.stdout.buffer, name)


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


def events(job_id: JobId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the history of a job, oldest first."""
    with connect(url, api_key) as client:
        history = client.events(job_id)
        if as_json:
            display.print_json_lines(history)
        else:
            display.print_events(history)


def _attach(document: Any, attachments: Sequence[input_arguments.Attachment], upload: Callable[[Path], str]) -> Any:
    for attachment in attachments:
        document = input_arguments.set_field(document, attachment.field, {"$upload": upload(attachment.path)})
    return document


def _find_uploads(client: Client, upload_ids: Sequence[str], paths: Sequence[Path]) -> dict[Path, str]:
    """The uploads to go on with, by the file that each is of."""
    found = {}
    for upload_id in upload_ids:
        upload = client.send(operations.upload(upload_id))
        matching = [
            path for path in paths if (upload_name(path), path.stat().st_size) == (upload.filename, upload.size)
        ]
        if not matching:
            raise InvalidArgumentError(
                f"--resume {upload_id}: no --upload is its file, {upload.filename} of {upload.size} bytes"
            )
        found[matching[0]] = upload_id
    return found


def _upload(client: Client, path: Path, resumed: str | None, begun: list[str]) -> str:
    with display.transfer_bar(f"uploading {path.name}") as progress:
        return client.upload(path, progress=progress, resume=resumed, on_started=begun.append)


@contextmanager
def _resume_hint(begun: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, CoatcheckError):
        if begun:
            resume_options = " ".join(f"--resume {upload_id}" for upload_id in begun)
            print_message(f"the parts already sent are kept for a day; to send only the rest, add {resume_options}")
        raise


def _wait(job: Job, url: str | None, api_key: str | None) -> Job:
    # with a bar, poll every few seconds to move it; without one, poll for as long as the server allows
    long_poll = 2.0 if sys.stderr.isatty() else 25.0
    try:
        with connect(url, api_key, RETRY_TIMEOUT_WHILE_WAITING) as client, display.job_bar() as show:
            for job in client.watch(job.id, long_poll=long_poll):  # noqa: B020, PLR1704 - the same job, as it is now
                show(job)
    except (KeyboardInterrupt, CoatcheckError) as stopped:
        print_message(f"stopped waiting for {job.id}, which goes on; follow it with: coatcheck status {job.id}")
        if isinstance(stopped, CoatcheckError):
            raise
        raise typer.Exit(exit_codes.INTERRUPTED) from stopped
    return job


def _require_success(job: Job) -> None:
    if not job.succeeded:
        why = f": {describe(job.error)}" if job.error else ""
        print_message(f"coatcheck: {job.id} {job.status}{why}")
        raise typer.Exit(exit_codes.UNSUCCESSFUL)


def _next_step(job: Job) -> str:
    known = " (the same job as before)" if job.replayed else ""
    advice = "fetch the result with: coatcheck result" if job.succeeded else "follow it with: coatcheck status"
    return f"{job.status}{known}; {advice} {job.id}"


def _refuse_binary_on_terminal(job: Job, name: str | None) -> None:
    stored = job.stored(name)
    if stored and sys.stdout.isatty() and not _is_text(stored.content_type):
        raise InvalidArgumentError(
            f"the result is {stored.content_type}, not text for a terminal: give -o FILE, or pipe it"
        )


def _is_text(content_type: str) -> bool:
    essence = content_type.partition(";")[0].strip().lower()
    return essence.startswith("text/") or essence.endswith(("/json", "+json", "/x-ndjson", "/xml", "+xml"))

"""What `submit` and `run` share: their options, and a submission with its uploads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coatcheck.cli import display, exit_codes, input_arguments, stdio
from coatcheck.cli.display import print_message
from coatcheck.cli.options import connect
from coatcheck.client import operations
from coatcheck.client.exceptions import CoatcheckError, InvalidArgumentError, describe
from coatcheck.client.file_upload import upload_name
from coatcheck.client.job import Job
from coatcheck.core.priority import Priority

if TYPE_CHECKING:
    from coatcheck.client.sync_client import Client

RETRY_TIMEOUT_WHILE_WAITING = 60.0

JobTypeName = Annotated[str, typer.Argument(metavar="TYPE", help="The job type: see `coatcheck types`.")]
JobInput = Annotated[
    str, typer.Option("--input", "-i", metavar="JSON|@FILE|-", help="The input: JSON, a file of it, or stdin.")
]
Uploads = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=PATH",
        help="Upload a file and name it in the input: tables.flights=f.csv, images[]=a.jpg. Repeatable.",
    ),
]
Resume = Annotated[
    list[str] | None, typer.Option(metavar="UPLOAD", help="Resume this upload of one of the files. Repeatable.")
]
IdempotencyKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="Submit at most once under this key. Default: random.")
]
Delay = Annotated[float | None, typer.Option(metavar="SECONDS", help="Start no sooner than this from now.")]
Urgency = Annotated[
    Priority | None, typer.Option("--priority", metavar="LEVEL", help="low, normal or high, among your own jobs.")
]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="How long an attempt may run.")]
Metadata = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the job, for you. Repeatable.")
]
Webhook = Annotated[str | None, typer.Option(metavar="URL", help="Have this URL called when the job has ended.")]


@dataclass(frozen=True)
class Submission:
    """A job to submit. `options` are the client's; `resume` are ids of uploads to go on with."""

    job_type: str
    document: Any
    attachments: Sequence[input_arguments.Attachment] = ()
    resume: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        job_type: str,
        job_input: str,
        *,
        upload: Sequence[str] | None,
        resume: Sequence[str] | None,
        delay: float | None = None,
        timeout: float | None = None,
        priority: Priority | None = None,
        metadata: Sequence[str] | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
    ) -> Submission:
        """Read the options of the command line. Raises InvalidArgumentError, before anything is sent."""
        document = input_arguments.read_input(job_input, stdio.read_input)
        attachments = [input_arguments.read_attachment(text) for text in upload or ()]
        options = {
            "delay": input_arguments.read_seconds("--delay", delay),
            "timeout": input_arguments.read_seconds("--timeout", timeout),
            "priority": priority and str(priority),
            "metadata": input_arguments.read_metadata(metadata or ()) or None,
            "webhook": {"url": webhook} if webhook else None,
            "idempotency_key": idempotency_key,
        }
        # a field that does not fit is found here
        _attach(document, attachments, str)
        return cls(job_type, document, attachments, resume or (), options)

    def send(self, url: str | None, api_key: str | None) -> Job:
        """Upload the files and submit the job. Raises CoatcheckError."""
        begun: list[str] = []
        with connect(url, api_key) as client, _resume_hint(begun):
            resumed = _find_uploads(client, self.resume, [attachment.path for attachment in self.attachments])
            document = _attach(
                self.document, self.attachments, lambda path: _upload(client, path, resumed.get(path), begun)
            )
            return client.submit(self.job_type, document, **self.options)


def wait_for(job: Job, url: str | None, api_key: str | None) -> Job:
    """Wait until `job` is done. Ctrl-C and a server that is gone end the waiting, and not the job."""
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


def require_success(job: Job) -> None:
    """End the command with `UNSUCCESSFUL`, and say why, unless `job` has succeeded."""
    if not job.succeeded:
        why = f": {describe(job.error)}" if job.error else ""
        print_message(f"coatcheck: {job.id} {job.status}{why}")
        raise typer.Exit(exit_codes.UNSUCCESSFUL)


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

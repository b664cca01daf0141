"""What the command line shows: JSON for programs, tables and bars for people. rich is loaded when first needed."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from coatcheck.client.exceptions import describe
from coatcheck.client.file_download import ProgressCallback
from coatcheck.client.job import Job
from coatcheck.client.text import printable, printable_lines

UNLIMITED_WIDTH = 100_000
MAX_BAR_TEXT = 200
"""Characters of the text beside a bar."""


def print_message(line: str) -> None:
    """A message for the person at the terminal, on standard error."""
    sys.stderr.write(f"{printable(line)}\n")


def print_lines(text: str) -> None:
    """Lines that anybody may have written, each fit for a terminal."""
    for line in text.splitlines():
        print(printable(line), flush=True)  # noqa: T201 - this is what stdout is for


def print_json(document: Mapping[str, Any]) -> None:
    """One document, indented."""
    print(json.dumps(document, indent=2))  # noqa: T201 - this is what stdout is for


def print_json_lines(documents: Iterable[Mapping[str, Any]]) -> None:
    """One line each, as they come."""
    for document in documents:
        print(json.dumps(document), flush=True)  # noqa: T201 - as above


WAITS_FOR = {
    "queue": "a worker",
    "delay": "its start",
    "retry": "another attempt",
    "tenant-limit": "other jobs of yours to end",
    "no-worker": "a worker that knows its type",
}


def print_job(view: Mapping[str, Any]) -> None:
    """A JobView as a list of what is known."""
    files = [view.get("result"), *(view.get("artifacts") or ())]
    rows = [
        ("job", view["id"]),
        *((name, view.get(name)) for name in ("type", "status")),
        ("waits for", WAITS_FOR.get(view.get("waiting_reason") or "")),
        ("progress", _progress(view.get("progress") or {})),
        ("attempt", f"{view.get('attempt')} of {view.get('max_attempts')}"),
        *((name.removesuffix("_at"), view.get(name)) for name in TIME_FIELDS),
        ("error", describe(view["error"]) if view.get("error") else None),
        *(("artifact" if "name" in entry else "result", _stored(entry)) for entry in files if entry),
        *((f"metadata {name}", value) for name, value in (view.get("metadata") or {}).items()),
        ("replayed from", view.get("replayed_from")),
    ]
    print_table((), [row for row in rows if row[1]])


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under heads, in columns; without heads the first column is the name of the second."""
    from rich.console import Console  # noqa: PLC0415 - see the module
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=bool(headers))
    for header in headers or ("", ""):
        table.add_column(header.upper(), overflow="fold", no_wrap=not sys.stdout.isatty())
    if not headers:
        table.columns[0].style = "dim"
    for row in rows:
        table.add_row(*(Text(printable("" if cell is None else cell)) for cell in row))
    # output to a file or a pipe must not be wrapped or padded with blanks
    console = Console(highlight=False, width=None if sys.stdout.isatty() else UNLIMITED_WIDTH)
    with console.capture() as lines:
        console.print(table)
    print("\n".join(line.rstrip() for line in lines.get().splitlines()))  # noqa: T201 - as above


def print_events(events: Iterable[Mapping[str, Any]]) -> None:
    """The history of a job as a table."""
    print_table(("at", "event", "attempt", "error"), [_event_row(event) for event in events])


def print_event_lines(events: Iterable[Mapping[str, Any]]) -> None:
    """The history of a job, and its progress, a line each as they come."""
    for event in events:
        at, kind, attempt, error = _event_row(event)
        rest = _progress(event) if kind == "progress" else f"{attempt} {error or ''}".rstrip()
        print(printable(f"{at or '':24}  {kind:14}  {rest}"), flush=True)  # noqa: T201 - as above


def _event_row(event: Mapping[str, Any]) -> tuple[object, object, object, str | None]:
    error = describe(event["error"]) if event.get("error") else None
    return event.get("at"), event.get("type"), event.get("attempt"), error


def print_endpoint(endpoint: Mapping[str, Any]) -> None:
    """A webhook endpoint as a list of what is known."""
    rows = [
        ("endpoint", endpoint["id"]),
        ("url", endpoint.get("url")),
        ("events", _join(endpoint.get("events"))),
        ("description", endpoint.get("description")),
        ("status", _enabled(endpoint)),
        ("created", endpoint.get("created_at")),
    ]
    print_table((), [row for row in rows if row[1]])


def print_endpoints(endpoints: Iterable[Mapping[str, Any]]) -> None:
    """Webhook endpoints as a table."""
    rows = [(e["id"], e.get("url"), _enabled(e), _join(e.get("events")), e.get("description")) for e in endpoints]
    print_table(("endpoint", "url", "status", "events", "description"), rows)


def print_deliveries(deliveries: Iterable[Mapping[str, Any]]) -> None:
    """Deliveries as a table: a line for each attempt, and one for the next if there is to be one."""
    rows = [(d["id"], d.get("event"), d.get("url"), *line) for d in deliveries for line in _attempts(d)]
    print_table(("delivery", "event", "url", "at", "answer", "took"), rows)


def summary_row(view: Mapping[str, Any]) -> list[object]:
    """A job as one row under the heads of `SUMMARY_HEADERS`."""
    return [view["id"], view.get("type"), view["status"], _progress(view.get("progress") or {}), view.get("created_at")]


SUMMARY_HEADERS = ("job", "type", "status", "progress", "created")
TIME_FIELDS = ("created_at", "run_at", "started_at", "finished_at", "expires_at")


@contextmanager
def job_bar() -> Iterator[Callable[[Job], None]]:
    """A bar that follows a job, on a terminal only: call it with the job at each poll."""
    with _bar("[progress.description]{task.description}", "[progress.percentage]{task.fields[share]}") as update:
        yield lambda job: update(
            description=printable(f"{job.id} {job.status} {job.progress.get('message') or ''}".rstrip(), MAX_BAR_TEXT),
            completed=job.progress.get("fraction") or 0.0,
            total=1.0 if job.progress.get("fraction") is not None else None,
            share=_percent(job.progress.get("fraction")),
        )


@contextmanager
def transfer_bar(title: str) -> Iterator[ProgressCallback]:
    """A bar that follows the bytes of a file, on a terminal only."""
    with _bar("{task.description}", "{task.fields[share]}") as update:
        yield lambda done, size: update(
            description=printable(title, MAX_BAR_TEXT),
            completed=done,
            total=size,
            share=f"{_bytes(done)} of {_bytes(size)}",
        )


class TerminalText:
    """Takes the bytes of a text for a terminal, and lets through nothing that could drive it.

    Ends a last line that has no end, so that the prompt does not follow it.
    """

    def __init__(self) -> None:
        self._line_is_open = False
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)

    def write(self, data: bytes, /) -> None:
        """Show the next bytes."""
        text = printable_lines(self._decoder.decode(data))
        sys.stdout.write(text)
        if text:
            self._line_is_open = not text.endswith("\n")

    def close(self) -> None:
        """Show the end."""
        if self._line_is_open:
            sys.stdout.write("\n")


@contextmanager
def _bar(left: str, right: str) -> Iterator[Callable[..., None]]:
    if not sys.stderr.isatty():
        yield lambda **_: None
        return
    from rich.console import Console  # noqa: PLC0415 - see the module
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn(left, markup=False), BarColumn(), TextColumn(right, markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, share="")
        yield lambda **fields: progress.update(task, **fields)


def _enabled(endpoint: Mapping[str, Any]) -> str:
    return "enabled" if endpoint.get("enabled") else f"disabled: {endpoint.get('disabled_reason')}"


def _join(names: Iterable[str] | None) -> str:
    return " ".join(names or ())


def _attempts(delivery: Mapping[str, Any]) -> Iterator[tuple[object, object, object]]:
    for attempt in delivery.get("attempts") or ():
        answer = " ".join(str(part) for part in (attempt.get("status_code"), attempt.get("error")) if part)
        yield attempt.get("at"), answer, f"{attempt.get('latency_ms')} ms"
    if delivery.get("status") == "pending":
        yield delivery.get("next_attempt_at"), "pending", ""


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.0%}"


def _progress(progress: Mapping[str, Any]) -> str:
    return f"{_percent(progress.get('fraction'))} {progress.get('message') or ''}".strip()


def _stored(entry: Mapping[str, Any]) -> str:
    parts = (entry.get("name"), _bytes(entry["size"]), entry.get("content_type"), f"sha256 {entry.get('sha256')}")
    return ", ".join(str(part) for part in parts if part)


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} GB"

"""Reads a job's history: what left its row, page by page, and then what is in the row."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.api.views import NumberedEvent, attempts_before_row, number_events
from coatcheck.core.aws.dynamodb.history import earlier_events
from coatcheck.core.job import Job


def last_event(job: Job) -> int:
    """Return the number of the job's last event."""
    return job.history_from + len(job.history) - 1


async def events_after(transport: AsyncTransport, table: str, job: Job, number: int) -> AsyncGenerator[NumberedEvent]:
    """Yield the job's events after the one with this number (0: all of them), the oldest first. Raises AwsError."""
    row_begins, attempts = job.history_from - 1, attempts_before_row(job)
    if number < row_begins:
        # pages are read from the first: only the numbers of their first events are keys, and few jobs have many pages
        read = attempts = 0
        while read < row_begins and (page := await transport.send(earlier_events(table, job, since=read + 1))):
            for numbered in number_events(page, offset=read, attempts=attempts):
                read, attempts = numbered.number, numbered.attempt
                if read > number:
                    yield numbered
    for numbered in number_events(job.history, offset=row_begins, attempts=attempts):
        if numbered.number > number:
            yield numbered

"""The operations of the commands: they read and redrive a deployment's dead letters and print the results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from coatcheck.cli import display, exit_codes
from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import DAY, HOUR, MINUTE, SECOND, rfc3339
from coatcheck.core.flows.dead_letters import DeadLetterKind, DeadLetterMessage, classify
from coatcheck.core.messages import DeliveryMessage
from coatcheck.core.suggestions import unknown
from coatcheck_infra.ops.dead_letters.queue_reader import Timing, read_queue
from coatcheck_infra.ops.dead_letters.redrive import Redrive, RedriveOptions
from coatcheck_infra.ops.error_reports import report_errors
from coatcheck_infra.ops.target_deployment import TargetDeployment, find_deployment

COLUMNS = ("lane", "sent", "age", "receives", "job", "tenant", "status", "attempt", "reason")
PREVIEW_CHARACTERS = 200
"""Characters of an unreadable message that `--json` shows."""

UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


def list_dead_letters(stack: str | None, lane: str | None, *, limit: int, as_json: bool) -> None:
    """Print up to `limit` dead letters. Raises CoatcheckError, and typer.Exit after it has reported an error of AWS."""
    timing = Timing()
    with report_errors("dlq"):
        target = find_deployment(stack, os.environ, Path.cwd())
        dead_letters = list(islice(read_dead_letters(target, select_lanes(target, lane), timing), limit))
    if as_json:
        display.print_json_lines(map(to_json, dead_letters))
    elif dead_letters:
        now = timing.clock()
        display.print_table(COLUMNS, [table_row(dead_letter, now) for dead_letter in dead_letters])
    if not dead_letters:
        display.print_message("no dead letters")
    if len(dead_letters) == limit:
        display.print_message(f"these are the first {limit}; for more, raise --limit")


def redrive(stack: str | None, lane: str | None, options: RedriveOptions) -> None:
    """Redrive and print a summary, also when interrupted. Raises as `list_dead_letters` does."""
    with report_errors("dlq"):
        target = find_deployment(stack, os.environ, Path.cwd())
        lanes = select_lanes(target, lane)
        redriving = Redrive(target, options, Timing())
        try:
            redriving.process_lanes(lanes)
        except KeyboardInterrupt:
            raise typer.Exit(exit_codes.INTERRUPTED) from None
        finally:
            print(redriving.summary(), flush=True)


def select_lanes(target: TargetDeployment, lane: str | None) -> Mapping[str, str]:
    """Return the dead-letter queues of all lanes, or of the named one. Raises InvalidArgumentError."""
    lanes = target.settings.dead_letters
    if lane is None:
        return lanes
    if lane not in lanes:
        raise InvalidArgumentError(unknown("lane", lane, lanes, see=f"choose from {', '.join(sorted(lanes))}"))
    return {lane: lanes[lane]}


def read_dead_letters(
    target: TargetDeployment, lanes: Mapping[str, str], timing: Timing
) -> Iterator[DeadLetterMessage]:
    """Yield the dead letters of `lanes`, one lane after the other. When a lane is done, its messages are released."""
    for lane, queue_url in lanes.items():
        if sys.stderr.isatty():
            display.print_message(f"lane {lane}: {timing.idle_timeout} s or more")
        with read_queue(target.aws, queue_url, timing) as found:
            yield from (run(target.aws, classify(target.settings.table, lane, received)) for received in found)


def table_row(dead_letter: DeadLetterMessage, now: int) -> list[object]:
    """Return a dead letter as one row under `COLUMNS`."""
    shown = to_json(dead_letter)
    return [shown[head] if head in shown else format_age(now - dead_letter.received.sent_at) for head in COLUMNS]


def to_json(dead_letter: DeadLetterMessage) -> dict[str, Any]:
    """Return a dead letter as JSON, with the table's columns and fields for programs only.

    Status and attempt are those of the delivery if the message is about one.
    """
    received, message, job, delivery = dead_letter.received, dead_letter.message, dead_letter.job, dead_letter.delivery
    source = job or delivery
    return {
        "lane": dead_letter.lane,
        "sent": rfc3339(received.sent_at),
        "receives": received.receive_count,
        "job": dead_letter.subject,
        "tenant": message.tenant if message else None,
        "status": str(source.status if source else dead_letter.kind),
        "attempt": job.counted_attempt if job else delivery.tries if delivery else None,
        "reason": received.reason,
        "message_id": received.message_id,
        "delivery": message.delivery if isinstance(message, DeliveryMessage) else None,
        **({"body": preview(received.body)} if dead_letter.kind is DeadLetterKind.UNREADABLE else {}),
    }


def preview(body: str) -> str:
    """Return the first printable characters of an unreadable message."""
    return "".join(filter(str.isprintable, body))[:PREVIEW_CHARACTERS]


def format_age(milliseconds: int) -> str:
    """Format a duration in the largest unit of which it has at least one."""
    size, unit = next((one for one in UNITS if milliseconds >= one[0]), UNITS[-1])
    return f"{max(milliseconds, 0) // size} {unit}"

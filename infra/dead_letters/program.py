"""What the commands do, between the deployment they are about and what is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from coatcheck.client import display, exits
from coatcheck.client.errors import InvalidArgumentError
from coatcheck.clock import DAY, HOUR, MINUTE, SECOND, rfc3339
from coatcheck.messages import DeliveryMessage
from infra.dead_letters.failures import told
from infra.dead_letters.letters import Kind, Letter, Timing, look_up, reading
from infra.dead_letters.place import Place, find
from infra.dead_letters.redrive import Order, Redrive

HEADS = ("lane", "sent", "age", "receives", "job", "tenant", "status", "attempt", "reason")
SHOWN = 200
"""Characters of a message that cannot be read which `--json` shows."""

UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


def list_letters(stack: str | None, lane: str | None, *, limit: int, as_json: bool) -> None:
    """Show up to `limit` dead letters. Raises CoatcheckError; an error of AWS is told, and ends in typer.Exit."""
    timing = Timing()
    with told():
        place = find(stack, os.environ, Path.cwd())
        letters = list(islice(letters_of(place, lanes_of(place, lane), timing), limit))
    if as_json:
        display.print_json_lines(map(document, letters))
    elif letters:
        now = timing.clock()
        display.print_table(HEADS, [row(letter, now) for letter in letters])
    if not letters:
        display.say("no dead letters")
    if len(letters) == limit:
        display.say(f"these are the first {limit}: there may be more, see --limit")


def redrive(stack: str | None, lane: str | None, order: Order) -> None:
    """Redrive and tell what was done, be it broken off. Raises as `list_letters` does."""
    with told():
        place = find(stack, os.environ, Path.cwd())
        lanes = lanes_of(place, lane)
        run = Redrive(place, order, Timing())
        try:
            run.go_through(lanes)
        except KeyboardInterrupt:
            raise typer.Exit(exits.INTERRUPTED) from None
        finally:
            print(run.summary(), flush=True)


def lanes_of(place: Place, lane: str | None) -> Mapping[str, str]:
    """The dead-letter queues of all lanes, or of the one that is named. Raises InvalidArgumentError."""
    lanes = place.deployment.dead_letters
    if lane is None:
        return lanes
    if lane not in lanes:
        raise InvalidArgumentError(f"no lane {lane}: there are {', '.join(sorted(lanes))}")
    return {lane: lanes[lane]}


def letters_of(place: Place, lanes: Mapping[str, str], timing: Timing) -> Iterator[Letter]:
    """The dead letters of `lanes`, one lane after the other; others may receive them when it is over."""
    for lane, queue_url in lanes.items():
        if sys.stderr.isatty():
            display.say(f"lane {lane}: {timing.patience} s or more")
        with reading(place.aws, queue_url, timing) as found:
            yield from (look_up(place.aws, place.deployment.table, lane, received) for received in found)


def row(letter: Letter, now: int) -> list[object]:
    """A dead letter as one row under `HEADS`."""
    shown = document(letter)
    return [shown[head] if head in shown else age(now - letter.received.sent_at) for head in HEADS]


def document(letter: Letter) -> dict[str, Any]:
    """A dead letter as JSON: under the heads of the table, and what only programs want.

    Status and attempt are the delivery's own where it is about one.
    """
    received, message, job, delivery = letter.received, letter.message, letter.job, letter.delivery
    row_says = job or delivery
    return {
        "lane": letter.lane,
        "sent": rfc3339(received.sent_at),
        "receives": received.receives,
        "job": letter.of,
        "tenant": message.tenant if message else None,
        "status": str(row_says.status if row_says else letter.kind),
        "attempt": job.attempt if job else delivery.tries if delivery else None,
        "reason": received.reason,
        "message_id": received.message_id,
        "delivery": message.delivery if isinstance(message, DeliveryMessage) else None,
        **({"body": beginning(received.body)} if letter.kind is Kind.UNREADABLE else {}),
    }


def beginning(body: str) -> str:
    """The first printable characters of what nobody can read."""
    return "".join(filter(str.isprintable, body))[:SHOWN]


def age(milliseconds: int) -> str:
    """A length of time in the largest unit that it is one of."""
    size, unit = next((one for one in UNITS if milliseconds >= one[0]), UNITS[-1])
    return f"{max(milliseconds, 0) // size} {unit}"

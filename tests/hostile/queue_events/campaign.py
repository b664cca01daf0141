"""Fuzzes the entry points of the Lambda functions that take events of queues and schedules, and checks each answer.

Whatever arrives, nothing is raised; a message that nobody can read is put aside or comes again, and is never dropped;
the canary of each batch is processed; and no line of the log can be taken for another.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from coatcheck.core.log import JsonFormatter, TextFormatter
from coatcheck.core.messages import BadMessage, JobMessage, NewerMessage, parse_webhook_message
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import Delivery, DeliveryAttempt
from coatcheck_worker.aws_deliverer_lambda import deliver_batch
from coatcheck_worker.aws_lambda import run_batch
from coatcheck_worker.aws_sweeper_lambda import sweep_part
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.message_consumer import MAX_RECEIVES
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from tests.hostile.queue_events.events import CANARY, LANES, SETTINGS, make_batch, make_sweep_event
from tests.hostile.queue_events.offline import OfflineTransport
from tests.job_rows import NOW

BATCH = 10
SWEEP_SHARE = 0.02
"""How many of the events are the sweeper's, which has no queue."""


@dataclass(frozen=True)
class Finding:
    """What went wrong, and the event that did it, which the seed makes again."""

    seed: int
    wrong: str


def fuzz(seeds: Iterable[int]) -> Iterator[Finding]:
    """Send one event for each seed; yields what is wrong."""
    with _watched_log() as log:
        for seed in seeds:
            try:
                wrong = _send_event(Random(seed))
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                wrong = f"raised {error!r}"
            if wrong := wrong or log.wrong:
                log.wrong = ""
                yield Finding(seed, wrong)


def _send_event(random: Random) -> str:
    transport = OfflineTransport(random)
    dependencies = Dependencies(transport, SETTINGS, clock=lambda: NOW, roll=random.random)
    if random.random() < SWEEP_SHARE:
        event = make_sweep_event(random)
        sweep_part(dependencies, event, until=NOW, function_arn="arn:aws:lambda:us-east-1:1:function:sweeper")
        return ""
    lane = random.choice(LANES)
    event = make_batch(random, lane, random.randint(1, BATCH))
    if lane == WEBHOOKS:
        answer = deliver_batch(DeliveryContext(dependencies, _NoSender()), event, begin_until=NOW + 1)
    else:
        answer = run_batch(dependencies, event, deadline=NOW + 600_000)
    return _wrong_answer(lane, event["Records"], answer, transport)


def _wrong_answer(lane: str, records: Sequence[Any], answer: Any, transport: OfflineTransport) -> str:
    match answer:
        case {"batchItemFailures": list(failures), **rest} if not rest:
            failed = {failure["itemIdentifier"] for failure in failures}
        case _:
            return f"the answer is no report: {answer!r}"
    if not transport.canary_seen:
        return "the canary was not processed"
    if CANARY in failed:
        return "the canary failed"
    named = {str(record.get("messageId")) for record in records if isinstance(record, dict)}
    if unknown := failed - named - {""}:
        return f"reported what is not in the batch: {unknown!r}"
    if "" in failed:
        # the whole batch comes again
        return ""
    dropped = [one for one in records if one["messageId"] not in failed and not _accounted_for(lane, one, transport)]
    return f"dropped: {dropped!r}" if dropped else ""


def _accounted_for(lane: str, record: dict[str, Any], transport: OfflineTransport) -> bool:
    """Whether a message that Lambda now deletes was put aside, or could be read."""
    try:
        (parse_webhook_message if lane == WEBHOOKS else JobMessage.parse)(record["body"])
    except (BadMessage, NewerMessage):
        # what only newer workers can read is deleted after many receives: the sweeper sends it again
        worn_out = int(record["attributes"]["ApproximateReceiveCount"]) >= MAX_RECEIVES
        return worn_out or record["body"] in transport.put_aside
    return True


class _NoSender:
    """Sends no webhooks: no delivery is ever there."""

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        raise AssertionError((delivery, secrets, now))


class _LogWatcher(logging.Handler):
    """Formats each line both ways, as a process would, and checks that it is one."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong = ""
        self._json, self._text = JsonFormatter(), TextFormatter()

    def emit(self, record: logging.LogRecord) -> None:
        as_json, as_text = self._json.format(record), self._text.format(record)
        first, *trace = as_text.split("\n")
        if "\n" in as_json or not isinstance(json.loads(as_json), dict):
            self.wrong = f"no line of JSON: {as_json!r}"
        if not first.isprintable() or not all(line.startswith("  ") and line.isprintable() for line in trace):
            self.wrong = f"more than a line: {as_text!r}"
        if len(as_json.partition('"trace"')[0]) > MAX_LINE:
            self.wrong = f"a line of {len(as_json)} characters"


MAX_LINE = 4_000


@contextmanager
def _watched_log() -> Iterator[_LogWatcher]:
    watcher, root = _LogWatcher(), logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [watcher]
    root.setLevel(logging.INFO)
    try:
        yield watcher
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def batches_for(records: int) -> int:
    """Return how many events have about so many records: between one and `BATCH` each."""
    return math.ceil(records / ((1 + BATCH) / 2))

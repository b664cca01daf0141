"""Events of Lambda: batches of SQS with hostile bodies, now and then with hostile records, and the sweeper's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import WEBHOOKS, Settings
from tests.hostile.queue_events.bodies import VALID, VALUES, make_body

LANES = ("default", WEBHOOKS)

ENVIRONMENT = {
    "COATCHECK_TABLE": "table",
    "COATCHECK_BUCKET": "bucket",
    "COATCHECK_QUEUES": json.dumps({lane: f"https://sqs.test/1/{lane}" for lane in LANES}),
    "COATCHECK_DEAD_LETTERS": json.dumps({lane: f"https://sqs.test/1/{lane}-dead" for lane in LANES}),
    "COATCHECK_WEBHOOK_KEY": "key",
}
SETTINGS = Settings.from_env(ENVIRONMENT)

RECORD_SHARE = 0.03
"""How many of the records are broken themselves. SQS sends none such, but who may invoke the function can."""


def make_batch(random: Random, lane: str, size: int) -> dict[str, Any]:
    """Return a batch with hostile records and, anywhere among them, the `canary`, which is in order."""
    records = [_record(random, lane, str(number), make_body(random)) for number in range(size - 1)]
    records = [_broken(random, record) if random.random() < RECORD_SHARE else record for record in records]
    records.insert(random.randrange(size), _record(random, lane, CANARY, CANARY_BODY))
    return {"Records": records}


CANARY = "canary"
"""The id of the message in each batch that nothing is wrong with."""

CANARY_BODY = json.dumps({**VALID[JobMessage], "tenant": CANARY, "job": f"job_{CANARY}"})


def make_sweep_event(random: Random) -> Any:
    """Return the schedule's event, an assignment of shards, or what is neither."""
    event: dict[str, Any] = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    if random.random() < 0.2:
        return event
    if random.random() < 0.2:
        return random.choice(VALUES)
    shard: Any = random.choice(("0", "7", "-1", "99999", "x", random.choice(VALUES)))
    cursor: Any = random.choice((None, {"pk": {"S": "a"}}, {"pk": {"N": 1}}, random.choice(VALUES)))
    kind: Any = random.choice(("job", "delivery", "jobs", "", random.choice(VALUES)))
    shards = random.choice(({str(kind): {str(shard): cursor}}, {str(kind): cursor}, random.choice(VALUES)))
    return {**event, "shards": shards}


def _record(random: Random, lane: str, message_id: str, body: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": f"handle-{message_id}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(random.choice((1, 1, 1, 2, 10, 11, 89, 90, 100)))},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:1:{lane}",
        "awsRegion": "us-east-1",
    }


def _broken(random: Random, record: Mapping[str, Any]) -> Any:
    if random.random() < 0.1:
        return random.choice(VALUES)
    name = random.choice(tuple(record))
    if random.random() < 0.3:
        return {other: value for other, value in record.items() if other != name}
    broken = {"ApproximateReceiveCount": random.choice(VALUES)} if name == "attributes" else random.choice(VALUES)
    return {**record, name: broken}

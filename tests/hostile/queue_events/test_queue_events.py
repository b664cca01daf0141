"""Events of queues that are not what they should be: a short form of `make hostile-events`."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from coatcheck.core.settings import WEBHOOKS
from coatcheck_worker.sqs_batch import WHOLE_BATCH, received_messages
from tests.hostile.queue_events.bodies import VALID
from tests.hostile.queue_events.campaign import batches_for, fuzz
from tests.hostile.queue_events.events import CANARY_BODY, SETTINGS


def test_no_event_is_raised_at_or_costs_another_its_turn() -> None:
    assert list(fuzz(range(batches_for(10_000)))) == []


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_messages_are_made_of_all_their_fields(kind: type[BaseModel]) -> None:
    assert VALID[kind].keys() == kind.model_fields.keys()
    kind.model_validate(VALID[kind])


RECORD = {
    "messageId": "1",
    "receiptHandle": "handle",
    "body": CANARY_BODY,
    "attributes": {"ApproximateReceiveCount": "1"},
    "eventSourceARN": f"arn:aws:sqs:us-east-1:1:{WEBHOOKS}",
}


@pytest.mark.parametrize(
    ("record", "identifier"),
    [
        (RECORD | {"body": None}, "1"),
        (RECORD | {"body": "\ud800"}, "1"),
        (RECORD | {"attributes": {}}, "1"),
        (RECORD | {"eventSourceARN": "arn:aws:sqs:us-east-1:1:another"}, "1"),
        (RECORD | {"messageId": 1}, WHOLE_BATCH),
        (RECORD | {"messageId": ""}, WHOLE_BATCH),
        ("record", WHOLE_BATCH),
    ],
)
def test_a_record_that_is_none_comes_again_and_the_others_are_read(record: object, identifier: str) -> None:
    read = list(received_messages(SETTINGS, {"Records": [record, RECORD]}))
    assert read[0] == identifier
    assert not isinstance(read[1], str)


@pytest.mark.parametrize("event", [None, [], {}, {"Records": None}, {"Records": "1"}])
def test_an_event_without_records_comes_again(event: object) -> None:
    assert list(received_messages(SETTINGS, event)) == [WHOLE_BATCH]

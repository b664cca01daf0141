"""A batch of SQS messages as Lambda hands it over, and the report of those that are to come again.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.deferred_model import DeferredModel
from coatcheck.core.settings import Settings

log = logging.getLogger(__name__)

BatchReport: TypeAlias = dict[str, list[dict[str, str]]]

WHOLE_BATCH = ""
"""The identifier of no message: Lambda then has the whole batch received again."""


class _Attributes(DeferredModel):
    receive_count: Annotated[int, Field(alias="ApproximateReceiveCount", ge=0)]


class _Record(DeferredModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    # it is logged: SQS makes 36 characters
    message_id: Annotated[str, Field(min_length=1, max_length=100)]
    receipt_handle: str
    body: str
    event_source_arn: Annotated[str, Field(alias="eventSourceARN")]
    attributes: _Attributes


def received_messages(settings: Settings, event: object) -> Iterator[ReceivedMessage | str]:
    """Yield each message of a batch; in place of one that is no record of our queues, the identifier to report.

    Only SQS sends these events, and it sends none of those. Each costs the others nothing, all the same.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        log.error("the event has no list of records")
        yield WHOLE_BATCH
        return
    for record in records:
        yield _received(settings, record)


def report(failed: Iterable[str]) -> BatchReport:
    """Build the function's result: these messages are to be received again, and all others are done."""
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def message_id_of(one: ReceivedMessage | str) -> str:
    """What `report` names a message of `received_messages` by."""
    return one if isinstance(one, str) else one.message_id


def _received(settings: Settings, record: Any) -> ReceivedMessage | str:
    try:
        read = _Record.model_validate(record)
        # what is no Unicode text cannot have come through SQS, and no later step has to bear it
        read.body.encode()
    except (ValidationError, UnicodeEncodeError) as error:
        log.error("a record cannot be read: %s", type(error).__name__)  # noqa: TRY400 - the trace shows the record
        return _identifier(record)
    queue_url = _queue_url(settings, read.event_source_arn)
    if queue_url is None:
        log.error("message %s comes from a queue that is none of this deployment's", read.message_id)
        return read.message_id
    return ReceivedMessage(queue_url, read.receipt_handle, read.body, read.message_id, read.attributes.receive_count)


def _identifier(record: Any) -> str:
    message_id = record.get("messageId") if isinstance(record, Mapping) else None
    return message_id if isinstance(message_id, str) else WHOLE_BATCH


def _queue_url(settings: Settings, arn: str) -> str | None:
    name = arn.rsplit(":", 1)[-1]
    return next((url for url in settings.queues.values() if url.rsplit("/", 1)[-1] == name), None)

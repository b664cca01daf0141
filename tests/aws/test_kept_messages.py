"""The messages of a `coatcheck up` that was stopped, sent again at its next start."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.local.kept_state import send_messages_again
from coatcheck_infra.local.resources import client
from coatcheck_infra.local.state_store import KeptMessage, StateStore

pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)

REASON = {"reason": {"DataType": "String", "StringValue": "cannot be read"}}


def received_from(sqs: Any, queue: str) -> dict[str, Any]:
    """All that can be received now, by its text."""
    found: dict[str, Any] = {}
    while messages := sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    ).get("Messages"):
        found |= {message["Body"]: message for message in messages}
    return found


def test_all_but_those_of_a_queue_that_is_gone_are_sent_again(emulator_url: str, tmp_path: Path) -> None:
    sqs = client("sqs", emulator_url)
    name = f"kept-{secrets.token_hex(4)}"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    kept = [KeptMessage(f"id-{n}", name, f"text {n}", {}, None, 0.0) for n in range(12)]
    kept.append(KeptMessage("reason", name, "with a reason", REASON, "acme", 0.0))
    kept.append(KeptMessage("later", name, "later", {}, None, time.time() + 600))
    kept.append(KeptMessage("gone", "a-lane-of-before", "gone", {}, None, 0.0))
    state = tmp_path / "state"
    StateStore.create(state, {}).close()
    with contextlib.closing(StateStore(state)) as store:
        store.write_messages(kept, [])
        store.begin_start(time.time())

    assert send_messages_again(state, sqs) == 14

    found = received_from(sqs, queue)
    assert found.keys() == {f"text {n}" for n in range(12)} | {"with a reason"}
    assert found["with a reason"]["MessageAttributes"]["reason"]["StringValue"] == "cannot be read"
    assert found["with a reason"]["Attributes"]["MessageGroupId"] == "acme"
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesDelayed"])
    assert counts["Attributes"] == {"ApproximateNumberOfMessagesDelayed": "1"}
    assert send_messages_again(state, sqs) == 0

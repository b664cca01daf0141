"""A batch of which SQS deletes a part, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck_worker.supervisor.deleter import Deleter

MESSAGES = [ReceivedMessage("queue", f"handle {number}", "{}") for number in range(3)]
Refuses = Callable[[int], set[str]]


class Refusing:
    """SQS, which refuses the handles that `refuses` names at each request."""

    def __init__(self, refuses: Refuses) -> None:
        self._refuses = refuses
        self.asked: list[list[str]] = []

    def send(self, call: Call[Any]) -> Any:
        entries = call.params["Entries"]
        self.asked.append([entry["ReceiptHandle"] for entry in entries])
        refused = self._refuses(len(self.asked))
        if "all" in refused:
            raise AwsUnavailable(call, "Timeout")
        return call.read({"Failed": [{"Id": one["Id"]} for one in entries if one["ReceiptHandle"] in refused]})


def delete(refuses: Refuses) -> Sequence[Sequence[str]]:
    sqs = Refusing(refuses)
    with Deleter(sqs) as deleter:
        for message in MESSAGES:
            deleter.delete(message)
    return sqs.asked


ALL = ["handle 0", "handle 1", "handle 2"]


@pytest.mark.parametrize(
    ("refuses", "asked"),
    [
        (lambda _: set(), [ALL]),
        (lambda time: {"handle 0", "handle 2"} if time == 1 else set(), [ALL, ["handle 0", "handle 2"]]),
        (lambda _: {"handle 1"}, [ALL, ["handle 1"]]),
        (lambda _: {"all"}, [ALL]),
    ],
    ids=["none", "two, once", "one, always", "no answer"],
)
def test_what_was_not_deleted_is_tried_once_more(refuses: Refuses, asked: Sequence[Sequence[str]]) -> None:
    assert delete(refuses) == asked

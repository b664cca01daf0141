"""Counts what an SDK sends again by itself: a handler of an event of botocore, which it asks after each attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coatcheck.aws_transport.retries import Trouble, trouble_of
from coatcheck.core.aws.call import Service
from coatcheck.core.metrics.definitions import AWS_RETRIES, AWS_THROTTLES
from coatcheck.core.metrics.recorder import record

ATTEMPT_EVENT = "needs-retry"
"""With a service after it (`needs-retry.s3`), the event of all its operations."""


def count_sdk_attempt(
    service: Service, *, response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: object
) -> None:
    """Count an attempt that was a retry, and an answer that says that there were too many."""
    if attempts > 1:
        record(AWS_RETRIES, 1, service)
    answer = response[1] if response is not None else {}
    error = answer.get("Error")
    if error:
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if trouble_of(str(error.get("Code", "")), status) is Trouble.THROTTLED:
            record(AWS_THROTTLES, 1, service)

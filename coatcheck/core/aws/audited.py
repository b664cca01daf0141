"""Calls whose answers are recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from coatcheck.core.audit import AuditRecord, record
from coatcheck.core.aws.call import AwsResponse, Call

T = TypeVar("T")


def audited(call: Call[T], describe: Callable[[T], AuditRecord | None]) -> Call[T]:
    """The same call, with a line for its answer. `describe` returns None for an answer by which nothing has changed."""

    def with_line(read: Callable[[AwsResponse], T]) -> Callable[[AwsResponse], T]:
        def read_and_record(response: AwsResponse) -> T:
            answer = read(response)
            if (what := describe(answer)) is not None:
                record(what)
            return answer

        return read_and_record

    expected = {code: with_line(read) for code, read in call.expected_errors.items()}
    return replace(call, read=with_line(call.read), expected_errors=expected)

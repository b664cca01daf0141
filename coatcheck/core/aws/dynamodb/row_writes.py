"""How a job's row is changed: one conditional write or, where its tenant's slots are counted too, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from coatcheck.core.aws.call import AwsResponse, AwsUnavailable, Call
from coatcheck.core.aws.dynamodb.codec import attribute_name, decode_job, encode_events, encode_field, unset
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA, SLOTS_SCHEMA, is_known
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.job import Job, JobError, JobEvent
from coatcheck.core.lifecycle import Transition

R = TypeVar("R")

GONE_ROW_RETENTION = DAY
"""How long the row of a job whose retention is over stays to answer 410, in milliseconds."""


@dataclass(frozen=True, slots=True)
class TransitionRefused:
    """The transition was refused: the row does not meet its condition. `job` is the row as it was, if there is one."""

    job: Job | None


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """The transition was refused: its tenant has no slot free, or has one free where it must have none."""


TransitionOutcome = Job | TransitionRefused

_REFUSED = "ConditionalCheckFailed"


@dataclass(frozen=True, slots=True)
class RowWrite:
    """The update that `e` has collected, of the row of `key`, if all `conditions` hold."""

    table: str
    key: JobKey
    e: Expression
    conditions: Sequence[str]

    @classmethod
    def of(cls, table: str, job: Job, e: Expression, holds: str) -> Self:
        """The update of the row of `job` if the condition `holds`.

        The row is changed only if it still belongs to the same job. An id may be used again when its job is gone, even
        by the same call, repeated because the reply was lost.
        """
        created = e.value(encode_field("created_at", job.created_at))
        same = f"{e.name(attribute_name('created_at'))} = {created}"
        return cls(table, JobKey(job.tenant, job.id), e, (same, f"({holds})"))

    def params(self) -> dict[str, Any]:
        """The parameters of the update, alone or in a transaction. What a newer version wrote is never changed."""
        return {
            "TableName": self.table,
            "Key": self.key.item(),
            "ConditionExpression": " AND ".join([is_known(self.e), *self.conditions]),
            **self.e.update(),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


def changed(
    transition: Transition, *, now: int, changes: Mapping[str, Any], error: JobError | None = None
) -> Expression:
    """What `transition` writes. `changes` maps fields of Job to new values, None to remove."""
    e = Expression()
    e.assign("updated_at", {"N": str(now)})
    e.add(f"{e.name('version')} = {e.name('version')} + {e.number(1)}")
    if transition.target is not None:
        e.assign("status", {"S": transition.target})
    for field, value in changes.items():
        e.assign(attribute_name(field), None if value is None else encode_field(field, value))
    if "expires_at" in changes:
        e.assign("ttl", {"N": str(ttl(changes["expires_at"]))})
    if "slot" in changes:
        e.assign(SCHEMA, None if changes["slot"] is None else {"N": str(SLOTS_SCHEMA)})
    if transition.event and "history" not in changes:
        e.append("history", encode_events([JobEvent(transition.event, now, error)]))
    return e


def applied(
    job: Job, transition: Transition, *, now: int, changes: Mapping[str, Any], error: JobError | None = None
) -> Job:
    """The row after `changed` has been written: a transaction does not return it.

    What somebody else has written since `job` was read, such as its progress, is not in it.
    """
    fields = {field: unset(field) if value is None else value for field, value in changes.items()}
    if transition.event and "history" not in changes:
        fields["history"] = (*job.history, JobEvent(transition.event, now, error))
    status = job.status if transition.target is None else transition.target
    return replace(job, **{**fields, "status": status, "version": job.version + 1, "updated_at": now})


def changed_job(outcome: object) -> Job | None:
    """The row after a write that took effect; None for any other outcome."""
    return outcome if isinstance(outcome, Job) else None


def update_if(table: str, job: Job, e: Expression, holds: str) -> Call[TransitionOutcome]:
    """Make the update that `e` has collected if the condition `holds`; returns the row after it, or as it was."""
    return update(RowWrite.of(table, job, e, holds))


def update(write: RowWrite) -> Call[TransitionOutcome]:
    """Make the write; returns the row after it, or as it was. Reading the answer raises NewerRow."""
    return Call(
        "dynamodb",
        "UpdateItem",
        write.params() | {"ReturnValues": "ALL_NEW"},
        read=lambda response: decode_job(response["Attributes"]),
        expected_errors={"ConditionalCheckFailedException": lambda response: _refused(response.get("Item"))},
    )


def update_with_counts(write: RowWrite, counting: Mapping[str, Any], after: Job) -> Call[TransitionOutcome]:
    """Make the write and, in the same transaction, the update `counting`; returns `after`, or the row as it was."""
    return _transaction(write, counting, after, lambda reasons: _refused(reasons[0].get("Item")))


def update_by_room(write: RowWrite, counting: Mapping[str, Any], after: Job) -> Call[TransitionOutcome | SlotsChanged]:
    """As `update_with_counts`, where `counting` has a condition too."""

    def refused(reasons: Sequence[AwsResponse]) -> TransitionOutcome | SlotsChanged:
        row = reasons[0]
        return _refused(row.get("Item")) if row.get("Code") == _REFUSED else SlotsChanged()

    return _transaction(write, counting, after, refused)


def _transaction(
    write: RowWrite, counting: Mapping[str, Any], after: Job, refused: Callable[[Sequence[AwsResponse]], R]
) -> Call[Job | R]:
    """Reading the answer raises AwsUnavailable when another transaction is changing the same counts."""

    def canceled(response: AwsResponse) -> R:
        reasons = response["CancellationReasons"]
        codes = [reason.get("Code", "None") for reason in reasons]
        if _REFUSED in codes:
            return refused(reasons)
        raise AwsUnavailable(call, next(code for code in codes if code != "None"))

    items = [{"Update": write.params()}, {"Update": counting}]
    call: Call[Job | R] = Call(
        "dynamodb",
        "TransactWriteItems",
        {"TransactItems": items},
        read=lambda _: after,
        expected_errors={"TransactionCanceledException": canceled},
    )
    return call


def _refused(item: Item | None) -> TransitionRefused:
    return TransitionRefused(decode_job(item) if item else None)


def ttl(expires_at: int) -> int:
    """The value of the `ttl` attribute, in seconds, of items that clients see until `expires_at`."""
    return (expires_at + GONE_ROW_RETENTION) // SECOND

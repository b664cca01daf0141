"""The counts of a tenant's slots: one item, changed only in transactions with the rows of the jobs that it counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.compatibility import require_known
from coatcheck.core.aws.dynamodb.due_index import DuePage, due_page
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import DUE_INDEX, Item, JobKey
from coatcheck.core.clock import MINUTE
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Guard, Slot
from coatcheck.core.priority import Priority
from coatcheck.core.shards import SHARDS, ShardKind, due_shard
from coatcheck.core.slots import NO_CAPS, UNTIMED, Caps, Group, SlotCounts, Turn

_SLOTS = "slots"
"""Not the id of any job: with the tenant in front of it, the partition of the counts."""

_HELD, _WAKES = "held", "wakes"
_PARKED = "parked"
_SEPARATOR = ":"

Limited: TypeAlias = Sequence[tuple[str, int]]
"""Names of the counts that are limited, and what they may be at most."""

VISIT_INTERVAL = MINUTE
"""How often the sweeper looks after a tenant that has parked jobs, in milliseconds."""


def get_slots(table: str, tenant: str) -> Call[SlotCounts]:
    """The counts of a tenant (a strongly consistent read). Reading the answer raises NewerRow."""
    params = {"TableName": table, "Key": slots_key(tenant), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda found: _counts(found.get("Item", slots_key(tenant))))


def count_change(
    table: str, job: Job, after: Slot, *, now: int, guards: Collection[Guard] = (), caps: Caps = NO_CAPS
) -> dict[str, Any]:
    """The part of a transaction that counts what `job` has `after` it, instead of `job.slot`.

    With `guards`, only if the tenant has a slot free under `caps`, or has none.
    """
    e = Expression()
    for attribute, change in _changes(job, after).items():
        e.add(f"{e.name(attribute)} = if_not_exists({e.name(attribute)}, {e.number(0)}) + {e.number(change)}")
    if after is Slot.AWAITED:
        # the tenant is visited from now on, until a visit finds that nothing is parked
        shard = {"S": due_shard(ShardKind.TENANT, job.tenant, SHARDS)}
        for attribute, value in (("due_at", {"N": str(now + VISIT_INTERVAL)}), ("due_shard", shard)):
            e.add(f"{e.name(attribute)} = if_not_exists({e.name(attribute)}, {e.value(value)})")
    needed = [f"({_GUARDS[guard](e, _limited(e, job.type, caps))})" for guard in sorted(guards)]
    condition = {"ConditionExpression": " AND ".join(needed)} if needed else {}
    return {"TableName": table, "Key": slots_key(job.tenant), **condition, **e.update()}


def _limited(e: Expression, type_name: str, caps: Caps) -> Limited:
    held = ((_HELD, caps.tenant), (f"{_HELD}{_SEPARATOR}{type_name}", caps.type))
    return [(e.name(attribute), cap) for attribute, cap in held if cap is not None]


def _room(e: Expression, limited: Limited) -> str:
    free = (f"{_uncounted(name, cap > 0)}{name} < {e.number(cap)}" for name, cap in limited)
    return " AND ".join(f"({one})" for one in free) if len(limited) > 1 else next(free)


def _no_room(e: Expression, limited: Limited) -> str:
    return " OR ".join(f"{_uncounted(name, cap <= 0)}{name} >= {e.number(cap)}" for name, cap in limited)


def _uncounted(name: str, holds: bool) -> str:  # noqa: FBT001 - part of a condition
    """The alternative that nothing is counted yet, if that `holds`."""
    return f"attribute_not_exists({name}) OR " if holds else ""


_GUARDS: Mapping[Guard, Callable[[Expression, Limited], str]] = {Guard.ROOM: _room, Guard.NO_ROOM: _no_room}


def _changes(job: Job, after: Slot) -> dict[str, int]:
    held = (after is Slot.HELD) - (job.slot is Slot.HELD)
    parked = (after is Slot.AWAITED) - job.parked
    group = _SEPARATOR.join((_PARKED, *Group.of(job)))
    changes = {_HELD: held, f"{_HELD}{_SEPARATOR}{job.type}": held, _PARKED: parked, group: parked}
    changes[_WAKES] = int(job.parked and after is Slot.HELD)
    return {attribute: change for attribute, change in changes.items() if change}


def parked_jobs(table: str, tenant: str, group: Group, turn: Turn, *, limit: int) -> Call[list[tuple[int, JobKey]]]:
    """The next parked jobs of a group whose turn it is, each with what it is sorted by (eventually consistent)."""
    e = Expression()
    in_group = f"{e.name('due_shard')} = {e.text(group.shard(tenant))}"
    of_turn = f"{e.name('due_at')} {'<' if turn.timed else '>='} {e.number(UNTIMED)}"
    params = {
        "TableName": table,
        "IndexName": DUE_INDEX,
        "KeyConditionExpression": f"{in_group} AND {of_turn}",
        **e.placeholders(),
        "Limit": limit,
    }

    def read(response: AwsResponse) -> list[tuple[int, JobKey]]:
        return [(int(item["due_at"]["N"]), JobKey.of(item)) for item in response["Items"]]

    return Call("dynamodb", "Query", params, read)


def due_tenants(table: str, shard: str, *, now: int, limit: int, after: Item | None = None) -> Call[DuePage[str]]:
    """Up to `limit` tenants of one shard that are to be visited, behind the entry `after`."""
    return due_page(table, shard, lambda item: JobKey.of(item).tenant, now=now, limit=limit, after=after)


def plan_visit(table: str, tenant: str, *, now: int) -> Call[None]:
    """Let the sweeper visit the tenant again in a minute, if any of its jobs is parked by then; otherwise not."""
    e = Expression()
    e.assign("due_at", {"N": str(now + VISIT_INTERVAL)})
    some = f"{e.name(_PARKED)} > {e.number(0)}"
    params = {"TableName": table, "Key": slots_key(tenant), "ConditionExpression": some, **e.update()}
    return Call("dynamodb", "UpdateItem", params, _ignore, {"ConditionalCheckFailedException": _ignore})


def end_visits(table: str, tenant: str) -> Call[None]:
    """Visit the tenant no more, unless one of its jobs has been parked in the meantime."""
    e = Expression()
    none = f"{e.name(_PARKED)} = {e.number(0)}"
    e.assign("due_at", None)
    params = {"TableName": table, "Key": slots_key(tenant), "ConditionExpression": none, **e.update()}
    return Call("dynamodb", "UpdateItem", params, _ignore, {"ConditionalCheckFailedException": _ignore})


def slots_key(tenant: str) -> Item:
    """The primary key of the counts of a tenant."""
    return JobKey(tenant, _SLOTS).item(_SLOTS)


def _counts(item: Item) -> SlotCounts:
    counts = {
        tuple(name.split(_SEPARATOR)): int(value["N"]) for name, value in require_known(item).items() if "N" in value
    }
    return SlotCounts(
        held=counts.get((_HELD,), 0),
        held_by_type={name[1]: count for name, count in counts.items() if name[0] == _HELD and len(name) == 2},
        parked={
            Group(Priority(name[1]), name[2]): count
            for name, count in counts.items()
            if name[0] == _PARKED and len(name) == 3 and count > 0
        },
        wakes=counts.get((_WAKES,), 0),
    )


def _ignore(_: AwsResponse) -> None:
    return None

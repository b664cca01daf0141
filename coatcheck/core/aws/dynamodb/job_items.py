"""Reads of the table, by key and by index, and the items beside a job's row."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.audited import job_changing
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.codec import decode_job, encode_job
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA, NewerRow, require_known
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.history import HISTORY_RETENTION
from coatcheck.core.aws.dynamodb.keys import TENANT_INDEX, AttributeValue, Item, JobKey, artifacts, job_created_at
from coatcheck.core.aws.dynamodb.row_writes import ttl
from coatcheck.core.job import Artifact, Blob, Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.pack import pack, to_json, unpack


def put_job(table: str, job: Job, *, now: int) -> Call[Job | None]:
    """Create the row, unless one exists whose retention is not over. Returns that one, or None when created.

    One write provides both creation and idempotency. Reading the answer raises NewerRow: what a newer version wrote is
    never replaced, whatever this one reads in it.
    """
    condition, names, values, moment = _unless_kept()
    params = {
        "TableName": table,
        "Item": encode_job(job),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {**values, moment: {"N": str(now)}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    call: Call[Job | None] = Call(
        "dynamodb",
        "PutItem",
        params,
        read=lambda _: None,
        expected_errors={"ConditionalCheckFailedException": lambda response: decode_job(response["Item"])},
    )
    return job_changing(call, f"job.{job.status}", lambda existing: job if existing is None else None)


@functools.cache
def _unless_kept() -> tuple[str, Mapping[str, str], Mapping[str, AttributeValue], str]:
    """The condition of `put_job`, its names and values, and the placeholder of the time: the same for each job."""
    e = Expression()
    moment = e.number(0)
    ended = f"{e.name('status')} IN ({', '.join(e.text(status) for status in sorted(Status.all_final()))})"
    over = f"attribute_not_exists({e.name(SCHEMA)}) AND {ended} AND {e.name('expires_at')} <= {moment}"
    condition = f"attribute_not_exists({e.name('pk')}) OR ({over})"
    placeholders = e.placeholders()
    return condition, placeholders["ExpressionAttributeNames"], placeholders["ExpressionAttributeValues"], moment


def get_job(table: str, key: JobKey) -> Call[Job | None]:
    """The job as it is now (a strongly consistent read), or None."""
    params = {"TableName": table, "Key": key.item(), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, read=lambda a: decode_job(a["Item"]) if "Item" in a else None)


@dataclass(frozen=True, slots=True)
class JobBatch:
    """The jobs a batch read found, and the keys to be asked for again.

    `newer` were written by newer versions, and `broken` are keys of rows that no version wrote.
    """

    jobs: Sequence[Job]
    unprocessed: Sequence[JobKey]
    newer: int = 0
    broken: Sequence[str] = ()


def get_jobs(table: str, keys: Sequence[JobKey], *, consistent: bool = False) -> Call[JobBatch]:
    """Up to 100 jobs in one read, unordered: eventually consistent or, for twice the price, strongly consistent."""

    def read(response: AwsResponse) -> JobBatch:
        read = [_decoded(item) for item in response.get("Responses", {}).get(table, [])]
        unprocessed = response.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        return JobBatch(
            [job for job in read if isinstance(job, Job)],
            [JobKey.of(item) for item in unprocessed],
            newer=read.count(None),
            broken=[key for key in read if isinstance(key, str)],
        )

    asked = {"Keys": [key.item() for key in keys], "ConsistentRead": consistent}
    return Call("dynamodb", "BatchGetItem", {"RequestItems": {table: asked}}, read)


def _decoded(item: Item) -> Job | str | None:
    """The job in a row, None for a newer version's, or the key of an unreadable one, which must not hide others."""
    try:
        return decode_job(item)
    except NewerRow:
        return None
    except (ValueError, LookupError, TypeError, zlib.error):
        return str(item["pk"]["S"])


@dataclass(frozen=True, slots=True)
class JobListEntry:
    """One entry of the `by_tenant` index."""

    key: JobKey
    created_at: int


@dataclass(frozen=True, slots=True)
class JobPage:
    """Entries of `by_tenant`, newest first; `more` says whether older ones follow."""

    entries: Sequence[JobListEntry]
    more: bool


def list_jobs(
    table: str,
    tenant: str,
    *,
    limit: int,
    after: JobListEntry | None = None,
    created_from: int = 0,
    created_until: int = 10**13 - 1,
) -> Call[JobPage]:
    """A tenant's jobs created between two times (both included), newest first, behind the entry `after`."""
    e = Expression()
    within = (
        f"{e.name('tenant')} = {e.text(tenant)} AND {e.name('listed')} "
        f"BETWEEN {e.text(_sortable(created_from))} AND {e.text(_sortable(created_until))}"
    )
    params: dict[str, Any] = {
        "TableName": table,
        "IndexName": TENANT_INDEX,
        "KeyConditionExpression": within,
        **e.placeholders(),
        "ScanIndexForward": False,
        "Limit": limit,
    }
    if after is not None:
        params["ExclusiveStartKey"] = {
            **after.key.item(),
            "tenant": {"S": tenant},
            "listed": {"S": _sortable(after.created_at)},
        }

    def read(response: AwsResponse) -> JobPage:
        entries = [JobListEntry(JobKey.of(item), int(item["listed"]["S"])) for item in response["Items"]]
        return JobPage(entries, "LastEvaluatedKey" in response)

    return Call("dynamodb", "Query", params, read)


def next_tenant(table: str, after: str | None = None) -> Call[str | None]:
    """The tenant that comes after `after` in the order of the index `by_tenant`, which is none for people; else None.

    One read, however many jobs the tenants have: it starts behind the last entry that `after` could have.
    https://aws.amazon.com/blogs/database/generate-a-distinct-set-of-partition-keys-for-an-amazon-dynamodb-table-efficiently/
    """
    params: dict[str, Any] = {"TableName": table, "IndexName": TENANT_INDEX, "Limit": 1}
    if after is not None:
        params["ExclusiveStartKey"] = {
            **JobKey(after, _LAST).item(_LAST),
            "tenant": {"S": after},
            "listed": {"S": _LAST},
        }
    return Call("dynamodb", "Scan", params, lambda a: str(a["Items"][0]["tenant"]["S"]) if a["Items"] else None)


_LAST = "~"
"""Sorts behind every id and every time."""


def _sortable(at: int) -> str:
    return f"{min(max(at, 0), 10**13 - 1):013d}"


def list_job_items(table: str, job: Job) -> Call[Sequence[Item]]:
    """The keys of up to 25 items that belong to a job, other than its row, or to one before it under its id."""
    e = Expression()
    beside = f"{e.name('pk')} = {e.text(JobKey(job.tenant, job.id).partition)}"
    params = {
        "TableName": table,
        "KeyConditionExpression": beside,
        "ProjectionExpression": "pk, sk",
        # must not miss items created a moment ago
        "ConsistentRead": True,
    }

    def read(response: AwsResponse) -> list[Item]:
        made = [(job_created_at(item), item) for item in response["Items"]]
        return [item for created_at, item in made if created_at is not None and created_at <= job.created_at][:25]

    return Call("dynamodb", "Query", {**params, **e.placeholders()}, read)


def delete_items(table: str, keys: Sequence[Item]) -> Call[None]:
    """Delete up to 25 items. An item that DynamoDB leaves unprocessed is found by the next listing."""
    requests = [{"DeleteRequest": {"Key": key}} for key in keys]
    return Call("dynamodb", "BatchWriteItem", {"RequestItems": {table: requests}}, read=lambda _: None)


def put_artifacts(table: str, job: Job, made: Sequence[Blob], *, more_legs: bool = False) -> Call[None]:
    """Write the list of what this leg made, before the transition that points to it.

    It names the attempt of the earlier leg whose list comes before it. With `more_legs` the job goes on: the list has
    to outlast all its legs.
    """
    listing = pack(to_json([[b.filename, b.size, b.sha256.hex(), b.content_type] for b in made]))
    since = job.claimed_at or job.updated_at
    # the row's own retention starts when it is settled: in a moment, or after a large result
    kept_until = since + (HISTORY_RETENTION if more_legs else job.timeout + job.retention)
    item = JobKey(job.tenant, job.id).item(artifacts(job.created_at, job.attempt))
    item |= {"list": {"B": listing}, "ttl": {"N": str(ttl(kept_until))}}
    if job.legs.kept:
        item["earlier"] = {"N": str(job.legs.kept)}
    return Call("dynamodb", "PutItem", {"TableName": table, "Item": item}, read=lambda _: None)


@dataclass(frozen=True, slots=True)
class ArtifactList:
    """What one attempt made. `earlier` is the attempt of the leg before it that made artifacts; 0: there was none."""

    attempt: int
    made: Sequence[Artifact]
    earlier: int = 0

    @classmethod
    def of(cls, item: Item) -> ArtifactList:
        """The list in an item. Raises NewerRow."""
        attempt = int(require_known(item)["sk"]["S"].rpartition("#")[2])
        rows = json.loads(unpack(bytes(item["list"]["B"])))
        blobs = [Blob(size, bytes.fromhex(digest), kind, name) for name, size, digest, kind, *_ in rows]
        earlier = int(item["earlier"]["N"]) if "earlier" in item else 0
        return cls(attempt, [Artifact(blob, attempt) for blob in blobs], earlier)


def get_artifacts(table: str, job: Job) -> Call[Sequence[Artifact]]:
    """The artifacts in the list of the attempt `job.attempt`."""
    key = JobKey(job.tenant, job.id).item(artifacts(job.created_at, job.attempt))
    return Call(
        "dynamodb",
        "GetItem",
        {"TableName": table, "Key": key, "ConsistentRead": True},
        read=lambda response: ArtifactList.of(response["Item"]).made if "Item" in response else [],
    )


@dataclass(frozen=True, slots=True)
class ArtifactLists:
    """Lists in the order of their attempts; `more` says whether others follow."""

    lists: Sequence[ArtifactList]
    more: bool


def list_artifacts(table: str, job: Job, *, first: int = 1) -> Call[ArtifactLists]:
    """The lists of all attempts from number `first` on, also of attempts that came to nothing: up to 1 MB of them."""

    def read(response: AwsResponse) -> ArtifactLists:
        return ArtifactLists([ArtifactList.of(item) for item in response["Items"]], "LastEvaluatedKey" in response)

    return Call("dynamodb", "Query", _artifact_lists(table, job, first), read)


def artifact_list_keys(table: str, job: Job) -> Call[Sequence[Item]]:
    """The keys of up to 25 lists of artifacts of the job."""
    params = {**_artifact_lists(table, job, 1), "ProjectionExpression": "pk, sk", "Limit": 25}
    return Call("dynamodb", "Query", params, read=lambda response: list(response["Items"]))


def _artifact_lists(table: str, job: Job, first: int) -> dict[str, Any]:
    e = Expression()
    low, high = (artifacts(job.created_at, attempt) for attempt in (first, max(first, job.attempt)))
    mine = f"{e.name('pk')} = {e.text(JobKey(job.tenant, job.id).partition)}"
    lists = f"{e.name('sk')} BETWEEN {e.text(low)} AND {e.text(high)}"
    return {
        "TableName": table,
        "KeyConditionExpression": f"{mine} AND {lists}",
        **e.placeholders(),
        "ConsistentRead": True,
    }

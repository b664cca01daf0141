"""Uploads as they were announced."""

from __future__ import annotations

from dataclasses import dataclass

from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.compatibility import require_known
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import UPLOAD, Item, JobKey
from coatcheck.core.clock import DAY, SECOND, rfc3339


@dataclass(frozen=True, slots=True)
class Multipart:
    """S3's own id of an upload in parts, and the bytes of each part but the last."""

    id: str
    part_size: int


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An upload as it was announced. `sha256` is the hash that the client declared, if it did."""

    tenant: str
    id: str
    filename: str
    content_type: str
    size: int
    sha256: bytes | None
    expires_at: int
    multipart: Multipart | None = None


_QUOTAS = "upload-tallies"
"""Not the id of any upload: with the tenant in front of it, the partition of the tenant's tallies."""

QUOTA_RETENTION = 7 * DAY
"""How long a day's tally is kept, in milliseconds: longer than the day, so that an owner can look at it."""


def count_upload(table: str, tenant: str, size: int, *, now: int, most: int) -> Call[int | None]:
    """Add bytes to what the tenant has announced on this day (UTC), if the sum is at most `most`.

    Returns None when they were added; otherwise how many bytes were announced before.
    """
    e = Expression()
    announced = e.name("announced")
    e.add(f"{announced} = if_not_exists({announced}, {e.number(0)}) + {e.number(size)}")
    e.assign("ttl", {"N": str((now + QUOTA_RETENTION) // SECOND)})
    params = {
        "TableName": table,
        "Key": JobKey(tenant, _QUOTAS).item(rfc3339(now)[: len("2026-11-26")]),
        "ConditionExpression": f"attribute_not_exists({announced}) OR {announced} <= {e.number(most - size)}",
        **e.update(),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    full = {"ConditionalCheckFailedException": lambda response: int(response["Item"]["announced"]["N"])}
    return Call("dynamodb", "UpdateItem", params, read=lambda _: None, expected_errors=full)


def put_upload(table: str, upload: UploadRecord) -> Call[None]:
    """Store an announced upload until it expires."""
    item = JobKey(upload.tenant, upload.id).item(UPLOAD) | {
        "filename": {"S": upload.filename},
        "type": {"S": upload.content_type},
        "size": {"N": str(upload.size)},
        "expires_at": {"N": str(upload.expires_at)},
        "ttl": {"N": str(upload.expires_at // SECOND)},
    }
    if upload.sha256 is not None:
        item["sha256"] = {"B": upload.sha256}
    if upload.multipart is not None:
        item |= {"multipart": {"S": upload.multipart.id}, "part_size": {"N": str(upload.multipart.part_size)}}
    return Call("dynamodb", "PutItem", {"TableName": table, "Item": item}, read=lambda _: None)


def get_upload(table: str, key: JobKey) -> Call[UploadRecord | None]:
    """The upload, or None."""

    def read(response: AwsResponse) -> UploadRecord | None:
        item: Item | None = response.get("Item")
        return None if item is None else _decode(key, require_known(item))

    params = {"TableName": table, "Key": key.item(UPLOAD), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, read)


def _decode(key: JobKey, item: Item) -> UploadRecord:
    return UploadRecord(
        tenant=key.tenant,
        id=key.id,
        filename=item["filename"]["S"],
        content_type=item["type"]["S"],
        size=int(item["size"]["N"]),
        sha256=bytes(item["sha256"]["B"]) if "sha256" in item else None,
        expires_at=int(item["expires_at"]["N"]),
        multipart=Multipart(item["multipart"]["S"], int(item["part_size"]["N"])) if "multipart" in item else None,
    )

"""What a stack leaves behind when it is deleted: its table, its bucket, and the key of its webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

MAX_KEYS = 1000
"""Objects that one request deletes."""

EMPTYING_ROUNDS = 5
"""Uploads by links that were given out earlier may arrive while a bucket is emptied: it is tried so often."""


@dataclass(frozen=True)
class Store:
    """A resource with data. `given`: the stack did not make it, but got its name in `parameter`."""

    kind: str
    name: str
    parameter: str
    given: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


TABLE, BUCKET, WEBHOOK_KEY = "table", "bucket", "webhook key"

STORES = (
    (TABLE, "TableName", "ExistingTable"),
    (BUCKET, "BucketName", "ExistingBucket"),
    (WEBHOOK_KEY, "WebhookKeyArn", "ExistingWebhookKey"),
)
"""For each store: its kind, the stack's output that names it, and the parameter that gives one to a stack."""


def stores_of(outputs: Mapping[str, str], parameters: Mapping[str, str]) -> list[Store]:
    """Return the stores that the outputs of a stack name. A stack that was never complete names none."""
    return [
        Store(kind, outputs[output], parameter, bool(parameters.get(parameter)))
        for kind, output, parameter in STORES
        if output in outputs
    ]


def delete_store(clients: Callable[[str], Any], store: Store) -> str:
    """Delete a store with all that is in it, and return what it was, for a message. Raises botocore's errors."""
    if store.kind == TABLE:
        clients("dynamodb").delete_table(TableName=store.name)
        return str(store)
    if store.kind == BUCKET:
        return f"{store} ({delete_bucket(clients('s3'), store.name)} objects)"
    clients("secretsmanager").delete_secret(SecretId=store.name)
    return f"{store}; it can be restored for 30 days"


def delete_bucket(s3: Any, bucket: str) -> int:
    """Delete a bucket with all objects, their versions, and unfinished uploads. Returns how many objects it had."""
    deleted = 0
    for round_ in range(EMPTYING_ROUNDS):
        deleted += _empty(s3, bucket)
        try:
            s3.delete_bucket(Bucket=bucket)
            break
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty" or round_ == EMPTYING_ROUNDS - 1:
                raise
    return deleted


def _empty(s3: Any, bucket: str) -> int:
    deleted = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, MaxKeys=MAX_KEYS):
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            deleted += len(keys)
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", ()):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return deleted

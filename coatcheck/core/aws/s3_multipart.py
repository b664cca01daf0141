"""The S3 requests of uploads that clients send in parts. All others are in `s3`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.call import AwsResponse, Call, Presign
from coatcheck.core.aws.s3 import DECLARED_SHA256, UPLOAD_URL_SECONDS


def start(bucket: str, key: str, *, content_type: str, sha256: bytes | None) -> Call[str]:
    """Begin an upload; the answer is S3's id of it.

    S3 has no sha256 of an object sent in parts: the declared one is stored with it, for those who read all of it.
    """
    params: dict[str, Any] = {"Bucket": bucket, "Key": key, "ContentType": content_type}
    if sha256 is not None:
        params["Metadata"] = {DECLARED_SHA256: sha256.hex()}
    return Call("s3", "CreateMultipartUpload", params, read=lambda response: str(response["UploadId"]))


def presign_part(bucket: str, key: str, multipart_id: str, *, number: int, length: int) -> Presign:
    """An upload of one part of exactly `length` bytes."""
    params = {"Bucket": bucket, "Key": key, "UploadId": multipart_id, "PartNumber": number, "ContentLength": length}
    return Presign("upload_part", params, UPLOAD_URL_SECONDS)


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that has arrived. The ETag is without its quotes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class UploadedPartsPage:
    """Parts in the order of their numbers; `more` says whether others follow."""

    parts: Sequence[UploadedPart]
    more: bool


def list_parts(bucket: str, key: str, multipart_id: str, *, after: int) -> Call[UploadedPartsPage | None]:
    """The parts with numbers above `after` that have arrived, up to 1,000; None when it is completed or aborted."""

    def read(response: AwsResponse) -> UploadedPartsPage:
        entries = response.get("Parts", [])
        parts = [UploadedPart(entry["PartNumber"], entry["Size"], entry["ETag"].strip('"')) for entry in entries]
        return UploadedPartsPage(parts, bool(parts) and response.get("IsTruncated", False))

    params = {"Bucket": bucket, "Key": key, "UploadId": multipart_id, "PartNumberMarker": after}
    return Call("s3", "ListParts", params, read, expected_errors=dict.fromkeys(("NoSuchUpload", "404"), lambda _: None))


def complete(bucket: str, key: str, multipart_id: str, parts: Sequence[UploadedPart]) -> Call[bool]:
    """Assemble the object from these parts; False when they have changed or are gone, or it was completed before."""
    listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
    params = {"Bucket": bucket, "Key": key, "UploadId": multipart_id, "MultipartUpload": {"Parts": listed}}
    return Call(
        "s3",
        "CompleteMultipartUpload",
        params,
        read=lambda _: True,
        expected_errors=dict.fromkeys(("NoSuchUpload", "404", "InvalidPart"), lambda _: False),
    )

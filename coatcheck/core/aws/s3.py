"""The S3 requests, except those of multipart uploads that clients send (`s3_multipart`). Keys: `s3_keys`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from coatcheck.core.aws.call import PERMISSION_CODES, AwsResponse, Call, Presign, log_denial

DOWNLOAD_URL_SECONDS = 600
"""Seconds for which a presigned download is valid. It is short, since it ends with the session of the signing role."""

UPLOAD_URL_SECONDS = 3600
"""Seconds for which a presigned upload is valid, if the credentials that sign it last as long."""

DECLARED_SHA256 = "declared-sha256"
"""Name of the user metadata of an object sent in parts: the hex sha256 that the client declared, if it did."""


def put(bucket: str, key: str, body: bytes | bytearray, *, content_type: str, sha256: bytes) -> Call[None]:
    """Store an object in one request. S3 refuses it when the bytes that arrive have another sha256."""
    params = {
        "Bucket": bucket,
        "Key": key,
        "Body": body,
        "ContentType": content_type,
        "ChecksumSHA256": base64.b64encode(sha256).decode(),
    }
    return Call("s3", "PutObject", params, read=lambda _: None)


def get(bucket: str, key: str, *, first: int = 0, last: int | None = None) -> Call[Any]:
    """The object, or its bytes `first` to `last`, as the transport's own stream; None when there is none."""
    piece = {} if last is None else {"Range": f"bytes={first}-{last}"}
    return Call(
        "s3",
        "GetObject",
        {"Bucket": bucket, "Key": key, **piece},
        read=lambda response: response["Body"],
        expected_errors=dict.fromkeys(("NoSuchKey", "404"), _none),
    )


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """An object that is being read: the transport's own stream, and which object it is.

    `declared` is the hex sha256 that the client declared, where S3 has not checked it.
    """

    stream: Any
    size: int
    etag: str
    declared: str | None = None


def open_object(bucket: str, key: str) -> Call[OpenedObject | None]:
    """The object from its start, or None when there is none."""
    return Call(
        "s3",
        "GetObject",
        {"Bucket": bucket, "Key": key},
        read=lambda response: OpenedObject(
            response["Body"],
            response["ContentLength"],
            response["ETag"],
            response.get("Metadata", {}).get(DECLARED_SHA256),
        ),
        expected_errors=dict.fromkeys(("NoSuchKey", "404"), _none),
    )


def read_range(bucket: str, key: str, etag: str, *, first: int, last: int) -> Call[Any]:
    """Bytes `first` to `last` of the object with this ETag, as the transport's own stream; None when there is none."""
    return Call(
        "s3",
        "GetObject",
        {"Bucket": bucket, "Key": key, "IfMatch": etag, "Range": f"bytes={first}-{last}"},
        read=lambda response: response["Body"],
        expected_errors=dict.fromkeys(("NoSuchKey", "404", "PreconditionFailed", "412", "InvalidRange"), _none),
    )


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What S3 knows of an object."""

    size: int
    content_type: str


def head(bucket: str, key: str) -> Call[ObjectInfo | None]:
    """The object under a key, or None."""
    return Call(
        "s3",
        "HeadObject",
        {"Bucket": bucket, "Key": key},
        read=lambda response: ObjectInfo(response["ContentLength"], response.get("ContentType", "")),
        expected_errors=dict.fromkeys(("NoSuchKey", "NotFound", "404"), _none),
    )


def copy(bucket: str, source: str, target: str) -> Call[bool]:
    """Copy an object of at most 5 GB inside the bucket; False when there is none."""
    params = {"Bucket": bucket, "Key": target, "CopySource": {"Bucket": bucket, "Key": source}}
    return Call(
        "s3",
        "CopyObject",
        params,
        read=lambda _: True,
        expected_errors=dict.fromkeys(("NoSuchKey", "404"), lambda _: False),
    )


def list_keys(bucket: str, prefix: str) -> Call[Sequence[str]]:
    """The first 1,000 keys under a prefix."""
    return Call(
        "s3",
        "ListObjectsV2",
        {"Bucket": bucket, "Prefix": prefix},
        read=lambda response: [entry["Key"] for entry in response.get("Contents", [])],
    )


def delete(bucket: str, keys: Sequence[str]) -> Call[Mapping[str, str]]:
    """Delete up to 1,000 objects; a missing one is no error. Returns the keys that stay, each with its error code."""
    objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}

    def read(response: AwsResponse) -> dict[str, str]:
        stay = {error["Key"]: error["Code"] for error in response.get("Errors", [])}
        # S3 answers 200 even when it denies the deletion of all of them
        for code in sorted(PERMISSION_CODES.intersection(stay.values())):
            log_denial("s3", "DeleteObjects", code)
        return stay

    return Call("s3", "DeleteObjects", {"Bucket": bucket, "Delete": objects}, read)


def start_multipart(bucket: str, key: str, *, content_type: str) -> Call[str]:
    """Begin an object that is sent in parts, each with its CRC-32; the answer is the upload's id."""
    params = {"Bucket": bucket, "Key": key, "ContentType": content_type, "ChecksumAlgorithm": "CRC32"}
    return Call("s3", "CreateMultipartUpload", params, read=lambda response: str(response["UploadId"]))


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part that S3 has: its ETag, and its CRC-32 as S3 writes it."""

    etag: str
    crc32: str


def put_part(
    bucket: str, key: str, upload_id: str, *, number: int, body: bytes | bytearray, crc32: int
) -> Call[CompletedPart]:
    """Send part `number` (1 to 10,000; 5 MB or more, the last excepted).

    S3 refuses it when the bytes that arrive have another CRC-32.
    """
    checksum = base64.b64encode(crc32.to_bytes(4, "big")).decode()
    params = {
        "Bucket": bucket,
        "Key": key,
        "UploadId": upload_id,
        "PartNumber": number,
        "Body": body,
        "ChecksumCRC32": checksum,
    }
    return Call("s3", "UploadPart", params, read=lambda response: CompletedPart(str(response["ETag"]), checksum))


def complete_multipart(bucket: str, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> Call[None]:
    """Assemble the object from its parts, in order. S3 refuses when it has other parts than these."""
    named = [
        {"PartNumber": number, "ETag": part.etag, "ChecksumCRC32": part.crc32}
        for number, part in enumerate(parts, start=1)
    ]
    params = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "MultipartUpload": {"Parts": named}}
    return Call("s3", "CompleteMultipartUpload", params, read=lambda _: None)


def abort_multipart(bucket: str, key: str, upload_id: str) -> Call[None]:
    """Discard the parts that were sent."""
    params = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    return Call(
        "s3",
        "AbortMultipartUpload",
        params,
        read=lambda _: None,
        expected_errors=dict.fromkeys(("NoSuchUpload",), _none),
    )


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str


def list_multipart_uploads(bucket: str, prefix: str) -> Call[Sequence[MultipartUpload]]:
    """Up to 1,000 multipart uploads under a prefix that are not finished."""
    return Call(
        "s3",
        "ListMultipartUploads",
        {"Bucket": bucket, "Prefix": prefix},
        read=lambda response: [
            MultipartUpload(entry["Key"], entry["UploadId"]) for entry in response.get("Uploads", [])
        ],
    )


def presign_download(bucket: str, key: str, *, content_type: str, disposition: str, head: bool = False) -> Presign:
    """A download of one object, with the headers of its answer; with `head`, a request for these headers only.

    The signature covers the method, so a URL for GET refuses HEAD:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    params = {
        "Bucket": bucket,
        "Key": key,
        "ResponseContentType": content_type,
        "ResponseContentDisposition": disposition,
    }
    return Presign("head_object" if head else "get_object", params, DOWNLOAD_URL_SECONDS)


def presign_upload(bucket: str, key: str, *, content_type: str, size: int, sha256: bytes | None) -> Presign:
    """An upload of one object of exactly this type, size and, where it is known, sha256: all three are signed.

    The signature also covers that no object may exist yet: S3 accepts the first complete one and answers 412 to others.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    params: dict[str, Any] = {
        "Bucket": bucket,
        "Key": key,
        "ContentType": content_type,
        "ContentLength": size,
        "IfNoneMatch": "*",
    }
    if sha256 is not None:
        params["ChecksumSHA256"] = base64.b64encode(sha256).decode()
    return Presign("put_object", params, UPLOAD_URL_SECONDS)


def attachment(filename: str) -> str:
    """A Content-Disposition that downloads as `filename`, whatever characters it has (RFC 6266, RFC 8187)."""
    ascii_name = "".join(c if c.isascii() and c.isprintable() and c not in '"\\/%' else "_" for c in filename)
    extended = f"; filename*=UTF-8''{quote(filename, safe='')}" if ascii_name != filename else ""
    return f'attachment; filename="{ascii_name}"{extended}'


def _none(_: AwsResponse) -> None:
    return None

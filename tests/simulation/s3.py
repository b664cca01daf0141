"""A bucket in memory."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.dynamodb import Params, Refusal
from tests.simulation.nondeterminism import Nondeterminism

PAGE = 1000
"""Keys, uploads or parts that one list gives."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object."""

    body: bytes
    content_type: str


@dataclass
class Upload:
    """A multipart upload that is not closed."""

    key: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Bucket:
    """One bucket: reads see every write that went before.

    `stubborn` are the keys that S3 will not delete: DeleteObjects says so in `Errors`, each time.
    """

    def __init__(self, nondeterminism: Nondeterminism | None = None) -> None:
        self._nondeterminism = nondeterminism or Nondeterminism()
        self.stubborn: set[str] = set()
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self._count = 0

    def answer(self, operation: str, params: Params) -> Any:
        """What S3 answers. Raises Refusal."""
        return _OPERATIONS[operation](self, params)

    def put(self, params: Params) -> Any:
        """PutObject."""
        body = bytes(params["Body"])
        given = params.get("ChecksumSHA256")
        if given is not None and base64.b64decode(given) != hashlib.sha256(body).digest():
            raise Refusal("BadDigest")
        if params.get("IfNoneMatch") == "*" and params["Key"] in self.objects:
            raise Refusal("PreconditionFailed")
        self.objects[params["Key"]] = Stored(body, params.get("ContentType", ""))
        return {}

    def get(self, params: Params) -> Any:
        """GetObject."""
        stored = self._found(params["Key"], "NoSuchKey")
        metadata = {"ContentType": stored.content_type, "ContentLength": len(stored.body), "ETag": _etag(stored.body)}
        return {"Body": io.BytesIO(stored.body), **metadata}

    def head(self, params: Params) -> Any:
        """HeadObject."""
        stored = self._found(params["Key"], "404")
        return {"ContentLength": len(stored.body), "ContentType": stored.content_type}

    def copy(self, params: Params) -> Any:
        """CopyObject."""
        self.objects[params["Key"]] = self._found(params["CopySource"]["Key"], "NoSuchKey")
        return {}

    def list_keys(self, params: Params) -> Any:
        """ListObjectsV2."""
        behind = params.get("ContinuationToken") or params.get("StartAfter", "")
        keys = sorted(key for key in self.objects if key.startswith(params["Prefix"]) and key > behind)
        page = keys[: params.get("MaxKeys", PAGE)]
        more = {"NextContinuationToken": page[-1]} if len(page) < len(keys) else {}
        return {**({"Contents": [{"Key": key} for key in page]} if page else {}), "IsTruncated": bool(more), **more}

    def delete(self, params: Params) -> Any:
        """DeleteObjects: each for itself. What S3 does not delete, the answer tells of."""
        errors = []
        for entry in params["Delete"]["Objects"]:
            if entry["Key"] in self.stubborn or self._nondeterminism.leaves_out():
                code = "AccessDenied" if entry["Key"] in self.stubborn else "InternalError"
                errors.append({"Key": entry["Key"], "Code": code, "Message": code})
            else:
                self.objects.pop(entry["Key"], None)
        return {"Errors": errors} if errors else {}

    def start_multipart(self, params: Params) -> Any:
        """CreateMultipartUpload."""
        self._count += 1
        self.uploads[str(self._count)] = Upload(params["Key"], params.get("ContentType", ""))
        return {"UploadId": str(self._count)}

    def put_part(self, params: Params) -> Any:
        """UploadPart."""
        body = bytes(params["Body"])
        self._open(params).parts[params["PartNumber"]] = body
        return {"ETag": _etag(body)}

    def list_parts(self, params: Params) -> Any:
        """ListParts."""
        behind = int(params.get("PartNumberMarker", 0))
        parts = sorted((number, body) for number, body in self._open(params).parts.items() if number > behind)
        page = [{"PartNumber": number, "Size": len(body), "ETag": _etag(body)} for number, body in parts[:PAGE]]
        return {**({"Parts": page} if page else {}), "IsTruncated": len(page) < len(parts)}

    def complete_multipart(self, params: Params) -> Any:
        """CompleteMultipartUpload."""
        upload = self._open(params)
        named = [(part["PartNumber"], part["ETag"]) for part in params["MultipartUpload"]["Parts"]]
        if any(number not in upload.parts or _etag(upload.parts[number]) != etag for number, etag in named):
            raise Refusal("InvalidPart")
        body = b"".join(upload.parts[number] for number, _ in named)
        self.objects[upload.key] = Stored(body, upload.content_type)
        del self.uploads[params["UploadId"]]
        return {}

    def abort_multipart(self, params: Params) -> Any:
        """AbortMultipartUpload."""
        self._open(params)
        del self.uploads[params["UploadId"]]
        return {}

    def list_multipart(self, params: Params) -> Any:
        """ListMultipartUploads."""
        under = [(upload.key, name) for name, upload in self.uploads.items() if upload.key.startswith(params["Prefix"])]
        return {"Uploads": [{"Key": key, "UploadId": name} for key, name in sorted(under)]} if under else {}

    def _found(self, key: str, code: str) -> Stored:
        if key not in self.objects:
            raise Refusal(code)
        return self.objects[key]

    def _open(self, params: Params) -> Upload:
        if params["UploadId"] not in self.uploads:
            raise Refusal("NoSuchUpload")
        return self.uploads[params["UploadId"]]


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


_OPERATIONS: Mapping[str, Callable[[Bucket, Params], Any]] = {
    "PutObject": Bucket.put,
    "GetObject": Bucket.get,
    "HeadObject": Bucket.head,
    "CopyObject": Bucket.copy,
    "ListObjectsV2": Bucket.list_keys,
    "DeleteObjects": Bucket.delete,
    "CreateMultipartUpload": Bucket.start_multipart,
    "UploadPart": Bucket.put_part,
    "ListParts": Bucket.list_parts,
    "CompleteMultipartUpload": Bucket.complete_multipart,
    "AbortMultipartUpload": Bucket.abort_multipart,
    "ListMultipartUploads": Bucket.list_multipart,
}

"""Which requests of a runner to S3 are signed: those, and only those, that its attempt needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from coatcheck.core.aws import s3_keys
from coatcheck.core.ids import id_pattern
from coatcheck.core.job import Job

CONTENT_SHA256 = "x-amz-content-sha256"
SIGNED_HEADERS = frozenset(
    {
        *("content-length", "content-md5", "content-type", "if-match", "range", CONTENT_SHA256),
        *("x-amz-checksum-crc32", "x-amz-checksum-sha256", "x-amz-checksum-type", "x-amz-checksum-algorithm"),
        *("x-amz-sdk-checksum-algorithm", "x-amz-checksum-mode"),
    }
)
"""The headers that a runner's request may have, and that are signed."""

UNSIGNED_HEADERS = frozenset(
    {"accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "connection", "expect", "host", "user-agent"}
)
"""Those that it may have besides. They change nothing."""

QUERIES: Mapping[str, frozenset[frozenset[str]]] = {
    "PUT": frozenset({frozenset(), frozenset({"partNumber", "uploadId"})}),
    "POST": frozenset({frozenset({"uploads"}), frozenset({"uploadId"})}),
    "DELETE": frozenset({frozenset({"uploadId"})}),
}
"""The methods by which an attempt stores objects, each with the sets of parameters that it may have."""

_UPLOAD_ID = re.compile(id_pattern("upl").strip("^$"))


class NotAllowed(Exception):
    """The request is none that this attempt needs."""


@dataclass(frozen=True, slots=True)
class AttemptKeys:
    """The keys that one attempt may write and read."""

    prefix: str
    checkpoints: str
    uploads: frozenset[str]

    @classmethod
    def of(cls, job: Job, given: bytes) -> AttemptKeys:
        """Those of an attempt at `job`, whose input is `given`: it names the uploads."""
        uploads = frozenset(_UPLOAD_ID.findall(given.decode(errors="replace")))
        return cls(
            s3_keys.attempt_prefix(job),
            s3_keys.checkpoint_key(job, b""),
            frozenset(s3_keys.upload_key(job.tenant, upload) for upload in uploads),
        )

    def may_write(self, key: str) -> bool:
        """Whether the attempt may store an object under `key`."""
        return ".." not in key and key.startswith((self.prefix, self.checkpoints))

    def may_read(self, key: str) -> bool:
        """Whether the attempt may read the object under `key`."""
        return key in self.uploads


Sign: TypeAlias = Callable[[AttemptKeys, str, str, Mapping[str, str]], Mapping[str, str]]
"""Returns the headers that sign a request of an attempt with these keys: its method, URL and headers.

Raises NotAllowed.
"""


def sign_nothing(*_: object) -> Mapping[str, str]:
    """Refuse, in a process that runs no handlers."""
    raise NotAllowed("this process signs nothing")

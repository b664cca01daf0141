"""Sign a runner's requests to S3: those, and only those, that its attempt needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient

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


class _Auth(S3SigV4Auth):
    """Signs the hash of the body that the request names: the body is not here."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["payload"])


class S3Signer:
    """Signs requests to the bucket with this process's credentials, which botocore renews."""

    def __init__(self, bucket: str, *, session: boto3.Session | None = None, endpoint_url: str | None = None) -> None:
        session = session or boto3.Session()
        client: BaseClient = session.client("s3", endpoint_url=endpoint_url)
        self._region = client.meta.region_name
        self._credentials: Any = session.get_credentials()
        self._bucket = bucket
        self._endpoint = urlsplit(client.meta.endpoint_url)

    def sign(self, keys: AttemptKeys, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that sign the request. Raises NotAllowed."""
        given = {name.lower(): value for name, value in headers.items()}
        self._check(keys, method, url, given)
        signed = {name: value for name, value in given.items() if name in SIGNED_HEADERS}
        request = AWSRequest(method=method, url=url, headers=signed)
        request.context["payload"] = signed[CONTENT_SHA256]
        _Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items() if name.lower() not in given} | {
            CONTENT_SHA256: signed[CONTENT_SHA256]
        }

    def _check(self, keys: AttemptKeys, method: str, url: str, headers: Mapping[str, str]) -> None:
        if unknown := headers.keys() - SIGNED_HEADERS - UNSIGNED_HEADERS:
            raise NotAllowed(f"it has the header {min(unknown)}")
        if CONTENT_SHA256 not in headers:
            raise NotAllowed(f"it lacks the header {CONTENT_SHA256}")
        target = urlsplit(url)
        key = self._key(target.scheme, target.netloc, target.path)
        query = [name for name, _ in parse_qsl(target.query, keep_blank_values=True)]
        if method == "GET" and not query and keys.may_read(key):
            return
        if len(query) == len(set(query)) and frozenset(query) in QUERIES.get(method, ()) and keys.may_write(key):
            return
        raise NotAllowed(f"this attempt may not {method} this object")

    def _key(self, scheme: str, netloc: str, path: str) -> str:
        endpoint = self._endpoint
        if scheme == endpoint.scheme and netloc == f"{self._bucket}.{endpoint.netloc}":
            return unquote(path.removeprefix("/"))
        prefix = f"/{self._bucket}/"
        if (scheme, netloc) == (endpoint.scheme, endpoint.netloc) and path.startswith(prefix):
            return unquote(path.removeprefix(prefix))
        raise NotAllowed("it goes to another server or bucket")

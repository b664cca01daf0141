"""Sign a runner's requests to S3, after a look at each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient

from coatcheck_worker.s3_signing import (
    CONTENT_SHA256,
    QUERIES,
    SIGNED_HEADERS,
    UNSIGNED_HEADERS,
    AttemptKeys,
    NotAllowed,
)


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

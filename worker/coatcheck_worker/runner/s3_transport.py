"""The runner's transport to S3: its requests are signed by the supervisor, since a runner has no credentials."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import boto3
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config

from coatcheck.core.aws.call import AwsRefused, Call
from coatcheck_worker.boto_transport import body_is_safe_at, client_config, send_by

T = TypeVar("T")

Sign = Callable[[str, str, Mapping[str, str]], Mapping[str, str]]
"""Returns the headers that sign a request of this method, URL and headers. Raises PermissionError."""

CONTENT_SHA256 = "X-Amz-Content-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


class SignedS3Transport:
    """Sends requests to S3 alone. Make it before a process is forked, and set `sign` in the child.

    `endpoint_url` defaults to what the SDK finds in the environment.
    """

    def __init__(self, *, endpoint_url: str | None = None) -> None:
        config = client_config().merge(Config(signature_version=UNSIGNED))
        self._client: Any = boto3.Session().client("s3", endpoint_url=endpoint_url, config=config)
        self._client.meta.events.register("before-send.s3", self._add_signature)
        self.sign: Sign = _refuse

    def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        try:
            return send_by(self._client, call)
        except PermissionError as error:
            raise AwsRefused(call, f"not signed: {error}") from error

    def _add_signature(self, request: AWSPreparedRequest, **_: Any) -> None:
        request.headers[CONTENT_SHA256] = _payload_hash(request)
        headers = {str(name): _text(value) for name, value in request.headers.items()}
        for name, value in self.sign(str(request.method), str(request.url), headers).items():
            request.headers[name] = value


def _payload_hash(request: AWSPreparedRequest) -> str:
    if body_is_safe_at(str(request.url)):
        return UNSIGNED_PAYLOAD
    body: Any = request.body or b""
    return hashlib.sha256(body).hexdigest()


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _refuse(*_: object) -> Mapping[str, str]:
    raise PermissionError("no job is running")

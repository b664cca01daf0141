"""The protocol of DynamoDB, SQS and Secrets Manager: a POST with JSON, and JSON back.

https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.call import AwsResponse, Call, Service


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BadReply(Exception):
    """An answer that did not arrive as it was sent, or that none of these services gives."""


TARGETS: Mapping[Service, tuple[str, str]] = {
    "dynamodb": ("DynamoDB_20120810", "1.0"),
    "sqs": ("AmazonSQS", "1.0"),
    "secretsmanager": ("secretsmanager", "1.1"),
}
"""The prefix of the header X-Amz-Target, and the version of the protocol."""


def headers_of(call: Call[Any]) -> dict[str, str]:
    """The headers that say what is asked for."""
    prefix, version = TARGETS[call.service]
    return {"content-type": f"application/x-amz-json-{version}", "x-amz-target": f"{prefix}.{call.operation}"}


def encode(call: Call[Any]) -> bytes:
    """The body of a request. Bytes travel as base64."""
    return _ENCODER.encode(call.params).encode()


def decode(service: Service, reply: Reply) -> AwsResponse:
    """What an answer says, with `Error` and its `Code` if it is an error, as botocore shows it. Raises BadReply."""
    checksum = reply.headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(zlib.crc32(reply.body)):
        raise BadReply("ChecksumMismatch")
    is_error = reply.status >= 300
    try:
        decoder = _DYNAMODB_DECODER if service == "dynamodb" else _DECODER
        said = decoder.decode(reply.body.decode()) if reply.body else {}
    except ValueError as error:
        # a proxy or a load balancer in between answers in its own words
        if is_error:
            return _error(reply, {}, "Unknown")
        raise BadReply("NotJson") from error
    if not isinstance(said, dict):
        raise BadReply("NotJson")
    return _error(reply, said, _code(reply, said)) if is_error else said


def _error(reply: Reply, said: Mapping[str, Any], code: str) -> AwsResponse:
    message = said.get("message", said.get("Message", ""))
    metadata = {"HTTPStatusCode": reply.status}
    return {**said, "Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}


def _code(reply: Reply, said: Mapping[str, Any]) -> str:
    """The code of an error. SQS gives that of its older protocol, the one that is documented, in a header."""
    older = reply.headers.get("x-amzn-query-error", "").partition(";")[0]
    if older:
        return older
    return str(said.get("__type") or "Unknown").rpartition("#")[2]


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no part of a request to AWS")


def _with_bytes(said: dict[str, Any]) -> dict[str, Any]:
    """An attribute value of DynamoDB with its bytes. An attribute that is named B or BS holds no text, but a value."""
    # the cheapest check first: this is called for each value, and few hold bytes
    if ("B" in said or "BS" in said) and len(said) == 1:
        ((kind, held),) = said.items()
        if kind == "B" and isinstance(held, str):
            return {"B": b64decode(held)}
        if kind == "BS" and isinstance(held, list):
            return {"BS": [b64decode(one) for one in held]}
    return said


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)
_DECODER = json.JSONDecoder()
_DYNAMODB_DECODER = json.JSONDecoder(object_hook=_with_bytes)

"""An AWS request as a value: what to send and how to read the answer. Two transports send it; this module does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from coatcheck.core.metrics.definitions import AWS_REFUSALS
from coatcheck.core.metrics.recorder import record

T = TypeVar("T")

log: logging.Logger = logging.getLogger(__name__)

Service: TypeAlias = Literal["dynamodb", "sqs", "s3", "secretsmanager", "lambda", "sts"]
Params: TypeAlias = Mapping[str, Any]
AwsResponse: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to AWS.

    `operation` is the API's own name (`PutItem`). `read` turns the answer into what the caller wants.
    `expected_errors` does the same for the error codes that are answers too (`ConditionalCheckFailedException`); it
    gets the error's response. The transport raises every other error as `AwsUnavailable` or `AwsRefused`.
    `urgent`: an answer helps only within a few seconds, so a transport gives up early and retries rarely.
    """

    service: Service
    operation: str
    params: Params
    read: Callable[[AwsResponse], T]
    expected_errors: Mapping[str, Callable[[AwsResponse], T]] = field(default_factory=dict)
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Presign:
    """A URL to be signed for one S3 request; signing sends nothing. `expires_in`: the requested lifetime in seconds."""

    operation: Literal["get_object", "head_object", "put_object", "upload_part"]
    params: Params
    expires_in: int


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    """A signed URL, and how many seconds it is valid: no longer than the credentials that signed it."""

    url: str
    seconds: int


class AwsError(Exception):
    """AWS did not do what was asked. `call` says what that was; the text holds no payload and no secret."""

    def __init__(self, call: Call[Any], code: str) -> None:
        super().__init__(f"{call.service} {call.operation}: {code}")
        self.call = call
        self.code = code


class AwsUnavailable(AwsError):
    """Throttled, overloaded or out of reach: the same call may go through later. It may also have been carried out."""


class AwsRefused(AwsError):
    """AWS will not do this, however often it is asked."""


class AwsDenied(AwsRefused):
    """The credentials may not do this, or are no longer valid: somebody has to fix that."""


TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TransactionConflictException",
    }
)


PERMISSION_CODES = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "NotAuthorized", "UnauthorizedOperation"}
)
"""The error codes for credentials that lack the permission.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

CREDENTIAL_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""The error codes for credentials that are unknown or no longer valid, and for a signature that does not match."""

_DENIED_STATUSES = frozenset({401, 403})
"""The answer to a HEAD has no body, and therefore no code."""


def log_denial(service: Service, operation: str, code: str) -> None:
    """Log as an error that AWS denies a request. The template's alarm AwsRefuses matches these words.

    A denial does not pass by itself as an outage does. Code that catches the error, or that reads the result of a part
    of a batch, may go on without it. So it is logged where the answer is read.
    """
    wrong = "the credentials are not good" if code in CREDENTIAL_CODES else "a permission is missing"
    record(AWS_REFUSALS, 1, service)
    log.error("AWS refuses %s %s: %s", service, operation, f"{code}: {wrong}")


def error_from(call: Call[Any], response: AwsResponse) -> AwsError:
    """The error that a transport raises for an error response that is no answer to `call`. Logs a denial."""
    code = str(response.get("Error", {}).get("Code", "Unknown"))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in TRANSIENT_CODES or status >= 500 or status == 429:
        return AwsUnavailable(call, code)
    if code in PERMISSION_CODES | CREDENTIAL_CODES or status in _DENIED_STATUSES:
        log_denial(call.service, call.operation, code)
        return AwsDenied(call, code)
    return AwsRefused(call, code)

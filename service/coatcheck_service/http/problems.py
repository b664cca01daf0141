"""Errors as HTTP responses: the status of each, and its problem document (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from coatcheck.core.api.models import Problem
from coatcheck.core.api.views import field_error_views, problem_uri
from coatcheck.core.aws.call import AwsError, AwsUnavailable
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.errors import (
    AlreadyFinished,
    ChangedMeanwhile,
    Forbidden,
    Gone,
    IdempotencyKeyReused,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    MissingScope,
    NoResult,
    NotFinished,
    NotFound,
    NotMultipart,
    PayloadTooLarge,
    RangeNotSatisfiable,
    ReservedEndpoint,
    ServiceError,
    StorageQuotaExceeded,
    SubmitRateExceeded,
    TooManyEndpoints,
    TooManyJobsWaiting,
    TooManyStreams,
    TooManyUploads,
    TooManyWebhookTests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadQuotaExceeded,
)
from coatcheck_service.http.authentication import base_url
from coatcheck_service.http.rate_limit import rate_limit_headers

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[ServiceError], int] = {
    ServiceError: 500,
    InvalidRequest: 422,
    MalformedJson: 400,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    NotFound: 404,
    MethodNotAllowed: 405,
    Unauthenticated: 401,
    MissingScope: 403,
    Forbidden: 403,
    IdempotencyKeyReused: 422,
    NotFinished: 409,
    AlreadyFinished: 409,
    NoResult: 409,
    Gone: 410,
    RangeNotSatisfiable: 416,
    NotMultipart: 409,
    UploadIncomplete: 422,
    TooManyUploads: 429,
    SubmitRateExceeded: 429,
    TooManyJobsWaiting: 429,
    StorageQuotaExceeded: 429,
    TooManyWebhookTests: 429,
    UploadQuotaExceeded: 429,
    TooManyStreams: 429,
    TooManyEndpoints: 409,
    ReservedEndpoint: 409,
    ChangedMeanwhile: 409,
    Unavailable: 503,
}

HEADERS: Mapping[type[ServiceError], Mapping[str, str]] = {
    Unauthenticated: {"WWW-Authenticate": 'Bearer realm="coatcheck"'},
    # RFC 6750, 3.1
    MissingScope: {"WWW-Authenticate": 'Bearer realm="coatcheck", error="insufficient_scope"'},
    NotFinished: {"Retry-After": "1"},
    Unavailable: {"Retry-After": "2"},
}


def problem_of(request: Request, error: Exception) -> Response | None:
    """Build the response to an error that an endpoint raised; None if it is unexpected."""
    make = next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), None)
    return None if make is None else make(request, error)


def problem_response(request: Request, error: ServiceError, headers: Mapping[str, str] | None = None) -> Response:
    """Build the problem response for `error`."""
    status = STATUS[type(error)]
    found = field_error_views(error.field_errors) if isinstance(error, InvalidRequest) and error.field_errors else None
    body = Problem(
        type=problem_uri(base_url(request), error.code),
        title=error.title,
        status=status,
        detail=error.detail,
        instance=quote(request.url.path),
        code=error.code,
        retryable=error.retryable,
        request_id=request.state.request_id,
        errors=found,
    )
    all_headers = {**HEADERS.get(type(error), {}), **(headers or {})}
    if isinstance(error, SubmitRateExceeded):
        all_headers |= rate_limit_headers(error.level)
    if error.retry_after is not None:
        all_headers["Retry-After"] = str(error.retry_after)
    return Response(body.model_dump_json(), status, headers=all_headers, media_type=MEDIA_TYPE)


def unexpected_response(request: Request) -> Response:
    """Build the response to an unexpected error. It reveals nothing internal."""
    return problem_response(request, ServiceError("An unexpected error ended this request."))


def _aws_problem(request: Request, error: AwsError) -> Response:
    unavailable = isinstance(error, AwsUnavailable)
    level = logging.WARNING if unavailable else logging.ERROR
    log.log(level, "%s", error, exc_info=None if unavailable else error)
    if unavailable:
        return problem_response(request, Unavailable("A data store did not answer in time: try again."))
    return unexpected_response(request)


def _newer_row_problem(request: Request, error: NewerRow) -> Response:
    log.warning("%s", error)
    return problem_response(
        request, Unavailable("A newer version of the service wrote this, and is being deployed: try again.")
    )


PROBLEMS: Mapping[type[Exception], Callable[[Request, Any], Response]] = {
    ServiceError: problem_response,
    AwsError: _aws_problem,
    NewerRow: _newer_row_problem,
}
"""How each error that an endpoint may raise is answered."""

"""What API Gateway answers by itself, as the template words it, and what it does to answers of the service.

The emulator drops the template's GatewayResponses, and does not take a bearer token for a signature of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class DefaultResponse:
    """What API Gateway says where the template has no words of its own; `error` is its X-Amzn-ErrorType."""

    status: int
    message: str
    error: str


# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
DEFAULT_RESPONSES = {
    "MISSING_AUTHENTICATION_TOKEN": DefaultResponse(
        403, "Missing Authentication Token", "MissingAuthenticationTokenException"
    ),
    "DEFAULT_4XX": DefaultResponse(
        403, "Invalid key=value pair (missing equal-sign) in Authorization header", "IncompleteSignatureException"
    ),
    "INVALID_SIGNATURE": DefaultResponse(
        403,
        "The request signature we calculated does not match the signature you provided",
        "InvalidSignatureException",
    ),
    "REQUEST_TOO_LARGE": DefaultResponse(413, "Request Too Long", "RequestTooLargeException"),
    "DEFAULT_5XX": DefaultResponse(502, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": DefaultResponse(504, "Endpoint request timed out", "InternalServerErrorException"),
}

SIGV4_SCHEME = "AWS4-HMAC-SHA256"
"""How the Authorization header of a request begins that is signed for AWS."""

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html: of those that a Lambda
# function's answer may not set, the one that the service sets
REMAPPED = {b"www-authenticate": b"x-amzn-remapped-www-authenticate"}


def read_custom_responses(template: Mapping[str, Any]) -> dict[str, Any]:
    """The GatewayResponses of the template's one API."""
    (api,) = (one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Api")
    custom_responses: dict[str, Any] = api["Properties"].get("GatewayResponses", {})
    return custom_responses


def gateway_response(kind: str, custom_responses: Mapping[str, Any], request_id: str) -> Response:
    """The answer of `kind`, a key of DEFAULT_RESPONSES, in the words of the template where it has some."""
    default = DEFAULT_RESPONSES[kind]
    fallback = "DEFAULT_5XX" if default.status >= 500 else "DEFAULT_4XX"
    custom = custom_responses.get(kind) or custom_responses.get(fallback, {})
    body = custom.get("ResponseTemplates", {}).get("application/json", f'{{"message": "{default.message}"}}')
    given = custom.get("ResponseParameters", {}).get("Headers", {})
    headers = {"content-type": "application/json", "x-amzn-errortype": default.error, "x-amzn-requestid": request_id}
    # a constant stands between quotes there
    headers |= {name.lower(): value.strip("'") for name, value in given.items()}
    return Response(
        body.replace("$context.requestId", request_id), int(custom.get("StatusCode", default.status)), headers
    )


def unknown_route_kind(authorization: str | None) -> str:
    """What API Gateway calls a request for a path or a method that it does not have: a key of DEFAULT_RESPONSES.

    It looks for a signature of its own in `authorization`, and a bearer token is a broken one:
    https://github.com/amazon-archives/aws-cognito-angular-quickstart/issues/50
    """
    if not authorization:
        return "MISSING_AUTHENTICATION_TOKEN"
    return "INVALID_SIGNATURE" if authorization.startswith(SIGV4_SCHEME) else "DEFAULT_4XX"


def remap_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer of the service, of which each name is in lower case, as clients get them."""
    return [(REMAPPED.get(name, name), value) for name, value in headers]

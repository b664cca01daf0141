"""The responses that API Gateway makes itself, as the template defines them, and its changes to the service's headers.

The emulator ignores the template's GatewayResponses. Unlike API Gateway, it does not read a bearer token as a broken
AWS signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class DefaultResponse:
    """The response of API Gateway if the template does not define one; `error` is its X-Amzn-ErrorType."""

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
    "UNAUTHORIZED": DefaultResponse(401, "Unauthorized", "UnauthorizedException"),
    "ACCESS_DENIED": DefaultResponse(403, "User is not authorized to access this resource", "AccessDeniedException"),
    "BAD_REQUEST_PARAMETERS": DefaultResponse(
        400, "Missing required request parameters: [Authorization]", "BadRequestException"
    ),
    "REQUEST_TOO_LARGE": DefaultResponse(413, "Request Too Long", "RequestTooLargeException"),
    "DEFAULT_5XX": DefaultResponse(502, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": DefaultResponse(504, "Endpoint request timed out", "InternalServerErrorException"),
}

LOCAL_DETAIL = "The credentials are not valid."
"""In place of what the authorizer says in its context, which the emulator's answer does not tell."""

SIGV4_SCHEME = "AWS4-HMAC-SHA256"
"""The first word of the Authorization header of a request that is signed for AWS."""

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html: of the headers that
# a Lambda function's response may not set, the one that the service sets
REMAPPED = {b"www-authenticate": b"x-amzn-remapped-www-authenticate"}


def read_custom_responses(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the GatewayResponses of the template's one API."""
    (api,) = (one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Api")
    custom_responses: dict[str, Any] = api["Properties"].get("GatewayResponses", {})
    return custom_responses


def gateway_response(kind: str, custom_responses: Mapping[str, Any], request_id: str) -> Response:
    """Build the response of `kind`, a key of DEFAULT_RESPONSES, as the template defines it, else the default."""
    default = DEFAULT_RESPONSES[kind]
    fallback = "DEFAULT_5XX" if default.status >= 500 else "DEFAULT_4XX"
    custom = custom_responses.get(kind) or custom_responses.get(fallback, {})
    body = custom.get("ResponseTemplates", {}).get("application/json", f'{{"message": "{default.message}"}}')
    given = custom.get("ResponseParameters", {}).get("Headers", {})
    headers = {"content-type": "application/json", "x-amzn-errortype": default.error, "x-amzn-requestid": request_id}
    # a constant value is in quotes there
    headers |= {name.lower(): value.strip("'") for name, value in given.items()}
    body = body.replace("$context.requestId", request_id).replace("$context.authorizer.detail", LOCAL_DETAIL)
    return Response(body, int(custom.get("StatusCode", default.status)), headers)


def unknown_route_kind(authorization: str | None) -> str:
    """Return the kind, a key of DEFAULT_RESPONSES, of API Gateway's response for an unknown path or method.

    API Gateway reads `authorization` as an AWS signature, so a bearer token is an invalid one:
    https://github.com/amazon-archives/aws-cognito-angular-quickstart/issues/50
    """
    if not authorization:
        return "MISSING_AUTHENTICATION_TOKEN"
    return "INVALID_SIGNATURE" if authorization.startswith(SIGV4_SCHEME) else "DEFAULT_4XX"


def remap_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response of the service as clients get them. The given names are in lower case."""
    return [(REMAPPED.get(name, name), value) for name, value in headers]

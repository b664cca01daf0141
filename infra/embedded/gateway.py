"""What API Gateway answers by itself, as the template words it, and what it does to answers of the service.

The emulator drops the template's GatewayResponses, and does not take a bearer token for a signature of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Unworded:
    """What API Gateway says where the template has no words of its own; `error` is its X-Amzn-ErrorType."""

    status: int
    message: str
    error: str


# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
UNWORDED = {
    "MISSING_AUTHENTICATION_TOKEN": Unworded(
        403, "Missing Authentication Token", "MissingAuthenticationTokenException"
    ),
    "DEFAULT_4XX": Unworded(
        403, "Invalid key=value pair (missing equal-sign) in Authorization header", "IncompleteSignatureException"
    ),
    "INVALID_SIGNATURE": Unworded(
        403,
        "The request signature we calculated does not match the signature you provided",
        "InvalidSignatureException",
    ),
    "REQUEST_TOO_LARGE": Unworded(413, "Request Too Long", "RequestTooLargeException"),
    "DEFAULT_5XX": Unworded(502, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": Unworded(504, "Endpoint request timed out", "InternalServerErrorException"),
}

SIGNED = "AWS4-HMAC-SHA256"
"""How the Authorization header of a request begins that is signed for AWS."""

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html: of those that a Lambda
# function's answer may not set, the one that the service sets
REMAPPED = {b"www-authenticate": b"x-amzn-remapped-www-authenticate"}


def worded_in(template: Mapping[str, Any]) -> dict[str, Any]:
    """The GatewayResponses of the template's one API."""
    (api,) = (one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Api")
    worded: dict[str, Any] = api["Properties"].get("GatewayResponses", {})
    return worded


def gateway_answer(kind: str, worded: Mapping[str, Any], request_id: str) -> Response:
    """The answer of `kind`, a key of UNWORDED, in the words of the template where it has some."""
    own = UNWORDED[kind]
    fallback = "DEFAULT_5XX" if own.status >= 500 else "DEFAULT_4XX"
    words = worded.get(kind) or worded.get(fallback, {})
    body = words.get("ResponseTemplates", {}).get("application/json", f'{{"message": "{own.message}"}}')
    given = words.get("ResponseParameters", {}).get("Headers", {})
    headers = {"content-type": "application/json", "x-amzn-errortype": own.error, "x-amzn-requestid": request_id}
    # a constant stands between quotes there
    headers |= {name.lower(): value.strip("'") for name, value in given.items()}
    return Response(body.replace("$context.requestId", request_id), int(words.get("StatusCode", own.status)), headers)


def no_route(authorization: str | None) -> str:
    """What API Gateway calls a request for a path or a method that it does not have: a key of UNWORDED.

    It looks for a signature of its own in `authorization`, and a bearer token is a broken one:
    https://github.com/amazon-archives/aws-cognito-angular-quickstart/issues/50
    """
    if not authorization:
        return "MISSING_AUTHENTICATION_TOKEN"
    return "INVALID_SIGNATURE" if authorization.startswith(SIGNED) else "DEFAULT_4XX"


def remapped(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer of the service, of which each name is in lower case, as clients get them."""
    return [(REMAPPED.get(name, name), value) for name, value in headers]

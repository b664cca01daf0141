"""What API Gateway answers by itself, as the template words it: the emulator drops its GatewayResponses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

# What API Gateway says where the template has no words of its own:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
UNWORDED = {
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "DEFAULT_5XX": (502, "Internal server error"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
}


def worded_in(template: Mapping[str, Any]) -> dict[str, Any]:
    """The GatewayResponses of the template's one API."""
    (api,) = (one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Api")
    worded: dict[str, Any] = api["Properties"].get("GatewayResponses", {})
    return worded


def gateway_answer(kind: str, worded: Mapping[str, Any], request_id: str) -> Response:
    """The answer of `kind`, a key of UNWORDED, in the words of the template where it has some."""
    status, message = UNWORDED[kind]
    words = worded.get(kind, {})
    body = words.get("ResponseTemplates", {}).get("application/json", f'{{"message": "{message}"}}')
    given = words.get("ResponseParameters", {}).get("Headers", {})
    headers = {"content-type": "application/json"}
    # a constant stands between quotes there
    headers |= {name.lower(): value.strip("'") for name, value in given.items()}
    return Response(body.replace("$context.requestId", request_id), int(words.get("StatusCode", status)), headers)

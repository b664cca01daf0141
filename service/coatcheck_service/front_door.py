"""The front doors: the server or gateway between the clients and the service, and what each cannot carry.

docs/front-doors.md compares them, with the source of each figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MIB = 1024**2

FRONT_DOOR = "coatcheck.front_door"
"""The member of an ASGI scope that holds the door of its request, where a process has several."""

DOOR_REQUEST_ID = "coatcheck.request_id"
"""The member of an ASGI scope that holds the id which the door has given the request, where it gives one."""

Event = Mapping[str, Any]

Authenticator = Literal["authorizer", "iam"]
"""What may have found out whose a request is before the service: a function of ours, or a verified AWS signature."""


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """What is known of a door. Limits are in bytes: of a result in the response, and of a request's body.

    `buffers`: a response is sent in one piece. So there are no event streams, and a result is read whole first, which
    costs nothing then and shows errors in time. `vouches` lists who may have authenticated a request. `own_host`: the
    door takes requests for its own names alone; elsewhere `Host` is what a client says, and no link may be made of it.
    """

    name: str
    inline_limit: int
    max_body: int
    buffers: bool = False
    vouches: frozenset[Authenticator] = frozenset()
    own_host: bool = False


UVICORN = FrontDoor("uvicorn", inline_limit=10 * MIB, max_body=10 * MIB)

HEADERS_ROOM = 64 * 1024
"""Bytes that are left for the headers, where they travel in one JSON object with the body."""

# Lambda allows 6 MB either way, as JSON: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# Base64 makes four bytes of three. A request has its headers twice.
_IN_BASE64 = (6 * MIB - HEADERS_ROOM) * 3 // 4

REST = FrontDoor("rest", _IN_BASE64, _IN_BASE64, buffers=True, vouches=frozenset({"authorizer", "iam"}), own_host=True)

FUNCTION_URL = FrontDoor(
    "function-url", _IN_BASE64, _IN_BASE64, buffers=True, vouches=frozenset({"iam"}), own_host=True
)

# A body may have 1 MB, and an answer too, as JSON and with its headers. It takes any Host.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
ALB = FrontDoor("alb", inline_limit=(MIB - HEADERS_ROOM) * 3 // 4, max_body=MIB, buffers=True)

# Behind the Lambda Web Adapter a REST API and a function URL carry the same: requests as before, and answers of 200 MB.
# An answer is sent inline up to what the contract says: beyond 6 MB Lambda sends 2 MB a second.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
# It vouches for nobody: what it knows of a request it says in a header (docs/adr/0165).
STREAMED = FrontDoor("streamed", inline_limit=10 * MIB, max_body=_IN_BASE64, own_host=True)

LAMBDA = REST
"""The door of a Lambda function unless an event says otherwise."""

FRONT_DOORS: Mapping[str, FrontDoor] = {door.name: door for door in (REST, FUNCTION_URL, ALB, UVICORN)}


def front_door_of(event: Event) -> FrontDoor:
    """Return the door that has made `event`: a function may be behind several. Clients write none of what decides."""
    if "elb" in (event.get("requestContext") or {}):
        return ALB
    return FUNCTION_URL if event.get("version") == "2.0" else REST


def client_address(event: Event) -> str | None:
    """Return the address that the door saw the request of `event` come from.

    A load balancer appends it to what a client says in `X-Forwarded-For`; the others name it in the context.
    """
    context: Event = event.get("requestContext") or {}
    if "elb" not in context:
        known: Event = context.get("http") or context.get("identity") or {}
        return known.get("sourceIp")
    values: Mapping[str, list[str]] = event.get("multiValueHeaders") or {
        name: [value] for name, value in (event.get("headers") or {}).items()
    }
    hops = [hop.strip() for hop in ",".join(values.get("x-forwarded-for", [])).split(",")]
    return hops[-1] or None

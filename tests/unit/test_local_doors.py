"""The proxy of `coatcheck up --whole` at other doors than API Gateway: its events, its limits, and its own answers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from coatcheck.cli.main import PLUGINS, make_app
from coatcheck_infra.local.door_events import ClientRequest, alb_event, function_url_event
from coatcheck_infra.local.lambda_door_proxy import LambdaDoorProxy, Target, proxy_app
from coatcheck_service.front_door import MIB
from tests.front_doors import HOSTS, TARGET_GROUP

API, ADMIN = Target("api:live", "at"), Target("admin", "at")
ANSWER = {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "b2s=", "isBase64Encoded": True}


class Functions:
    """Functions that answer the same to everything, or fail, and keep what they were given."""

    def __init__(self, answer: Mapping[str, Any] | None = ANSWER) -> None:
        self._answer = answer
        self.invoked: list[tuple[str, dict[str, Any]]] = []

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any] | None:
        """Answer."""
        self.invoked.append((function, event))
        return dict(self._answer) if self._answer is not None else None


def through(door: str, functions: Functions) -> httpx.AsyncClient:
    """A client of the proxy of a door."""
    app = proxy_app(LambdaDoorProxy(door, API, ADMIN, functions.invoke))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door")


@pytest.mark.parametrize("door", ["function-url", "alb"])
async def test_operators_have_a_function_of_their_own(door: str) -> None:
    functions = Functions()
    async with through(door, functions) as http:
        answers = [await http.get(path) for path in ("/v1/jobs", "/v1/admin/jobs", "/v1/administrators")]
    assert [answer.text for answer in answers] == ["ok"] * 3
    assert [function for function, _ in functions.invoked] == ["api:live", "admin", "api:live"]


@pytest.mark.parametrize(
    ("door", "size", "status"),
    [
        ("alb", MIB, 200),
        ("alb", MIB + 1, 413),
        ("function-url", 4 * MIB, 200),
        # base64 makes it 6 MB, and there is the rest of the event
        ("function-url", MIB * 6 * 3 // 4, 413),
        ("function-url", 7 * MIB, 413),
    ],
)
async def test_a_request_is_as_large_as_the_door_takes(door: str, size: int, status: int) -> None:
    functions = Functions()
    async with through(door, functions) as http:
        answer = await http.post("/v1/jobs", content=b"\0" * size)
    assert (answer.status_code, len(functions.invoked)) == (status, status == 200)


@pytest.mark.parametrize(("door", "limit"), [("alb", MIB), ("function-url", 6 * MIB)])
async def test_an_answer_is_as_large_as_the_door_takes(door: str, limit: int) -> None:
    for size, status in ((limit - 1000, 200), (limit, 502)):
        async with through(door, Functions(ANSWER | {"body": "x" * size, "isBase64Encoded": False})) as http:
            assert (await http.get("/")).status_code == status


@pytest.mark.parametrize(("door", "media_type"), [("alb", "text/html"), ("function-url", "application/json")])
async def test_a_function_that_fails_is_a_502_in_the_words_of_the_door(door: str, media_type: str) -> None:
    async with through(door, Functions(None)) as http:
        answer = await http.get("/")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (502, media_type)


REQUEST = ClientRequest(
    "POST",
    "/v1/a%20b",
    "a=1&a=%202&b",
    [("cookie", "x=1; y=2"), ("x-forwarded-for", "198.51.100.9"), ("prefer", "a"), ("prefer", "b")],
    b"\xff",
    "203.0.113.7",
)


def test_a_load_balancer_decodes_nothing_and_appends_the_address() -> None:
    event = alb_event(REQUEST, TARGET_GROUP)
    assert (event["path"], event["multiValueQueryStringParameters"]) == ("/v1/a%20b", {"a": ["1", "%202"], "b": [""]})
    assert event["multiValueHeaders"]["x-forwarded-for"] == ["198.51.100.9, 203.0.113.7"]
    assert event["multiValueHeaders"]["prefer"] == ["a", "b"]
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, b"\xff")
    # as it does unless the target group asks for more
    single = alb_event(REQUEST, TARGET_GROUP, multi_value=False)
    assert (single["headers"]["prefer"], single["queryStringParameters"]) == ("b", {"a": "%202", "b": ""})


def test_a_function_url_joins_headers_and_takes_the_address_that_it_sees() -> None:
    event = function_url_event(REQUEST, HOSTS["function-url"])
    assert (event["rawPath"], event["rawQueryString"]) == ("/v1/a%20b", "a=1&a=%202&b")
    assert (event["headers"]["prefer"], event["cookies"]) == ("a,b", ["x=1", "y=2"])
    assert event["requestContext"]["http"]["sourceIp"] == event["headers"]["x-forwarded-for"] == "203.0.113.7"


def test_a_front_door_is_of_the_whole_stack() -> None:
    done = CliRunner().invoke(make_app(entry_points(group=PLUGINS)), ["up", "--front-door", "alb"])
    assert done.exit_code == 1
    assert "--front-door needs --whole" in done.output

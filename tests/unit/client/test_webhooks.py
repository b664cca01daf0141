"""Webhooks for clients: what the SDK sends, and what the commands show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response

from coatcheck.cli import exit_codes
from coatcheck.client.exceptions import ConnectionFailed, ProblemError
from coatcheck.client.sync_client import Client
from tests.unit.client.conftest import problem

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer, Run

ALL = "/v1/webhook-endpoints"
ENDPOINT: dict[str, Any] = {
    "id": "whe_a",
    "url": "https://example.com/hook",
    "events": ["job.failed", "job.succeeded"],
    "description": "mine",
    "enabled": True,
    "disabled_reason": None,
    "created_at": "2026-11-01T10:00:00.000Z",
}
SHOWN: dict[str, Any] = {**ENDPOINT, "secret": "whsec_c2VjcmV0"}
TRIED: list[dict[str, Any]] = [
    {"at": "2026-11-01T10:00:01.000Z", "status_code": 503, "error": None, "latency_ms": 12, "response": "later"},
    {"at": "2026-11-01T10:00:06.000Z", "status_code": None, "error": "timeout", "latency_ms": 15000, "response": None},
]
DELIVERY: dict[str, Any] = {
    "id": "dlv_a",
    "webhook_id": "evt_a",
    "endpoint": "whe_a",
    "url": "https://example.com/hook",
    "event": "job.failed",
    "status": "pending",
    "next_attempt_at": "2026-11-01T10:05:00.000Z",
    "attempts": TRIED,
}


@pytest.fixture
def client(fake_server: FakeServer) -> Iterator[Client]:
    with Client(fake_server.url, "k", retry_timeout=5) as client:
        yield client


def body(fake_server: FakeServer) -> Any:
    """The JSON that was sent last."""
    return json.loads(fake_server.recorded[-1].body)


def listing(*data: Any, after: str | None = None) -> Response:
    return JSONResponse({"data": data, "next": after})


def test_endpoints_of_the_sdk(client: Client, fake_server: FakeServer) -> None:
    fake_server.on(f"POST {ALL}", JSONResponse(SHOWN, 201))
    assert client.webhooks.create("https://example.com/hook")["secret"] == SHOWN["secret"]
    assert body(fake_server) == {"url": "https://example.com/hook"}
    client.webhooks.create("https://example.com/hook", events=["job.failed"], description="", enabled=False)
    assert body(fake_server) == {
        "url": "https://example.com/hook",
        "events": ["job.failed"],
        "description": "",
        "enabled": False,
    }
    fake_server.on(f"GET {ALL}", listing(ENDPOINT, after="c"), listing(ENDPOINT))
    assert list(client.webhooks.endpoints()) == [ENDPOINT, ENDPOINT]
    fake_server.on(f"GET {ALL}/whe_a", JSONResponse(ENDPOINT))
    assert client.webhooks.endpoint("whe_a") == ENDPOINT
    fake_server.on(f"PATCH {ALL}/whe_a", problem(503, "unavailable", "Later"), JSONResponse(ENDPOINT))
    assert client.webhooks.update("whe_a", enabled=True) == ENDPOINT
    assert body(fake_server) == {"enabled": True}
    fake_server.on(f"DELETE {ALL}/whe_a", Response(status_code=204))
    client.webhooks.delete("whe_a")
    fake_server.on(f"POST {ALL}/whe_a/rotate-secret", JSONResponse(SHOWN))
    assert client.webhooks.rotate_secret("whe_a") == SHOWN


def test_deliveries_of_the_sdk(client: Client, fake_server: FakeServer) -> None:
    fake_server.on(f"POST {ALL}/whe_a/test", JSONResponse(DELIVERY, 202))
    assert client.webhooks.test("whe_a") == DELIVERY
    fake_server.on("GET /v1/jobs/job_a/deliveries", listing(DELIVERY, after="dlv_a"), listing(DELIVERY))
    assert list(client.webhooks.deliveries("job_a")) == [DELIVERY, DELIVERY]
    assert fake_server.recorded[-1].query == {"after": "dlv_a"}
    fake_server.on(
        "POST /v1/jobs/job_a/deliveries/dlv_a/resend", problem(503, "x", "Later"), JSONResponse(DELIVERY, 202)
    )
    assert client.webhooks.resend("job_a", "dlv_a") == DELIVERY


@pytest.mark.parametrize("below", ["", "/whe_a/rotate-secret", "/whe_a/test"])
def test_what_would_be_done_twice_is_not_sent_again(client: Client, fake_server: FakeServer, below: str) -> None:
    fake_server.on(f"POST {ALL}{below}", problem(503, "unavailable", "Later"))
    calls = {
        "": lambda: client.webhooks.create("https://example.com/hook"),
        "/whe_a/rotate-secret": lambda: client.webhooks.rotate_secret("whe_a"),
        "/whe_a/test": lambda: client.webhooks.test("whe_a"),
    }
    with pytest.raises((ProblemError, ConnectionFailed)):
        calls[below]()
    assert len(fake_server.recorded) == 1


def test_a_job_brings_its_webhook(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", JSONResponse({"id": "job_a", "status": "queued", "done": False}, 202))
    client.submit("demo.sleep", {}, webhook={"url": "https://example.com/hook", "events": ["job.failed"]})
    assert body(fake_server)["webhook"] == {"url": "https://example.com/hook", "events": ["job.failed"]}


def test_create_prints_the_secret_alone(run: Run, fake_server: FakeServer) -> None:
    fake_server.on(f"POST {ALL}", JSONResponse(SHOWN, 201))
    code, out, err = run("webhooks", "create", "https://example.com/hook", "--event", "job.failed")
    assert (code, out) == (0, "whsec_c2VjcmV0\n")
    assert err == "whe_a is what this secret belongs to; it is not shown again\n"
    assert body(fake_server) == {"url": "https://example.com/hook", "events": ["job.failed"]}
    given = ("--event", "job.failed", "--event", "job.started", "--description", "mine")
    assert json.loads(run("webhooks", "create", "https://example.com/hook", *given, "--json")[1]) == SHOWN
    assert body(fake_server) == {
        "url": "https://example.com/hook",
        "events": ["job.failed", "job.started"],
        "description": "mine",
    }


def test_rotate_prints_the_secret_alone(run: Run, fake_server: FakeServer) -> None:
    fake_server.on(f"POST {ALL}/whe_jobs/rotate-secret", JSONResponse({**SHOWN, "id": "whe_jobs"}))
    assert run("webhooks", "rotate-secret", "whe_jobs")[:2] == (0, "whsec_c2VjcmV0\n")
    assert json.loads(run("webhooks", "rotate-secret", "whe_jobs", "--json")[1])["id"] == "whe_jobs"


def test_endpoints_are_shown(run: Run, fake_server: FakeServer) -> None:
    disabled = {**ENDPOINT, "id": "whe_b", "enabled": False, "disabled_reason": "answered 410 Gone\x1b[2J"}
    fake_server.on(f"GET {ALL}", listing(ENDPOINT, disabled))
    fake_server.on(f"GET {ALL}/whe_b", JSONResponse(disabled))
    assert [line.split("   ")[0].strip() for line in run("webhooks", "list")[1].splitlines()] == [
        "ENDPOINT",
        "whe_a",
        "whe_b",
    ]
    assert [json.loads(line) for line in run("webhooks", "list", "--json")[1].splitlines()] == [ENDPOINT, disabled]
    shown = run("webhooks", "show", "whe_b")[1]
    assert "disabled: answered 410 Gone\N{REPLACEMENT CHARACTER}[2J" in shown
    assert "job.failed job.succeeded" in shown
    assert json.loads(run("webhooks", "show", "whe_b", "--json")[1]) == disabled


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--enable"], {"enabled": True}),
        (["--disable"], {"enabled": False}),
        (["--target", "https://example.com/other"], {"url": "https://example.com/other"}),
        (["--event", "job.failed", "--event", "job.started"], {"events": ["job.failed", "job.started"]}),
        (["--description", ""], {"description": ""}),
    ],
)
def test_update_sends_what_is_named(
    run: Run, fake_server: FakeServer, options: list[str], sent: dict[str, Any]
) -> None:
    fake_server.on(f"PATCH {ALL}/whe_a", JSONResponse(ENDPOINT))
    code, out, _ = run("webhooks", "update", "whe_a", *options)
    assert (code, out.splitlines()[0].split()) == (0, ["endpoint", "whe_a"])
    assert body(fake_server) == sent


def test_update_of_nothing(run: Run, fake_server: FakeServer) -> None:
    code, out, err = run("webhooks", "update", "whe_a")
    assert (code, out, fake_server.recorded) == (exit_codes.USAGE, "", [])
    assert err.startswith("coatcheck: nothing to change: give --target")


def test_delete_and_test(run: Run, fake_server: FakeServer) -> None:
    fake_server.on(f"DELETE {ALL}/whe_a", Response(status_code=204))
    assert run("webhooks", "delete", "whe_a") == (0, "", "whe_a is deleted\n")
    fake_server.on(f"POST {ALL}/whe_a/test", JSONResponse(DELIVERY, 202))
    assert run("webhooks", "test", "whe_a") == (
        0,
        "dlv_a\n",
        "on its way; look at it: coatcheck webhooks deliveries whe_a\n",
    )
    assert json.loads(run("webhooks", "test", "whe_a", "--json")[1]) == DELIVERY


def test_deliveries_are_shown_with_every_attempt(run: Run, fake_server: FakeServer) -> None:
    delivered = {**DELIVERY, "id": "dlv_b", "status": "delivered", "next_attempt_at": None, "attempts": TRIED[:1]}
    fake_server.on("GET /v1/jobs/job_a/deliveries", listing(DELIVERY, delivered))
    assert [line.split() for line in run("webhooks", "deliveries", "job_a")[1].splitlines()] == [
        ["DELIVERY", "EVENT", "URL", "AT", "ANSWER", "TOOK"],
        ["dlv_a", "job.failed", ENDPOINT["url"], TRIED[0]["at"], "503", "12", "ms"],
        ["dlv_a", "job.failed", ENDPOINT["url"], TRIED[1]["at"], "timeout", "15000", "ms"],
        ["dlv_a", "job.failed", ENDPOINT["url"], DELIVERY["next_attempt_at"], "pending"],
        ["dlv_b", "job.failed", ENDPOINT["url"], TRIED[0]["at"], "503", "12", "ms"],
    ]
    lines = run("webhooks", "deliveries", "job_a", "--json")[1].splitlines()
    assert [json.loads(line) for line in lines] == [DELIVERY, delivered]


def test_resend(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs/job_a/deliveries/dlv_a/resend", JSONResponse(DELIVERY, 202))
    assert run("webhooks", "resend", "job_a", "dlv_a")[:2] == (0, "dlv_a\n")
    fake_server.on("POST /v1/jobs/job_a/deliveries/dlv_b/resend", problem(404, "not-found", "No such thing"))
    assert run("webhooks", "resend", "job_a", "dlv_b")[0] == exit_codes.NOT_FOUND


def test_the_group_explains_itself(run: Run) -> None:
    code, out, _ = run("webhooks", "--help")
    assert code == 0
    names = {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()}
    assert {"create", "list", "show", "update", "delete", "rotate-secret", "test", "deliveries", "resend"} < names
    assert "listen" in names

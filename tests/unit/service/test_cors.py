"""Pages of other origins: those that the deployment names may read every answer, others none."""

from __future__ import annotations

import pytest

from coatcheck.core.settings import BadSettings, Settings
from tests.log_lines import log_lines
from tests.unit.service.in_process import QUEUES, app, client

ORIGIN = "https://app.example.com"
ALLOWED = "access-control-allow-origin"


@pytest.mark.parametrize(("origins", "allowed"), [("", None), (ORIGIN, ORIGIN), ("*", "*"), ("https://else", None)])
async def test_an_unexpected_error_is_read_by_pages_that_may_call(origins: str, allowed: str | None) -> None:
    async with client(app(RuntimeError, cors_origins=origins)) as http:
        answer = await http.get("/v1/jobs/job_1", headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers.get(ALLOWED)) == (500, allowed)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_preflight_is_answered_without_credentials_and_logged() -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Authorization": ""}
    with log_lines() as lines:
        async with client(app(cors_origins=ORIGIN)) as http:
            answer = await http.options("/v1/webhook-endpoints/whe_1", headers=asked)
    assert (answer.status_code, answer.headers[ALLOWED]) == (200, ORIGIN)
    assert "access-control-allow-credentials" not in answer.headers
    logged = [line["message"] for line in lines.entries() if line["logger"].endswith("middleware")]
    assert logged == ["OPTIONS (no route) 200"]


@pytest.mark.parametrize("origins", ["app.example.com", f"{ORIGIN}/", f"{ORIGIN}, https://b", f"*,{ORIGIN}", "null"])
def test_what_is_no_origin_is_named_at_the_start(origins: str) -> None:
    stores = {"TABLE": "t", "BUCKET": "b", "QUEUES": QUEUES, "DEAD_LETTERS": QUEUES, "WEBHOOK_KEY": "k"}
    with pytest.raises(BadSettings, match="COATCHECK_CORS_ORIGINS"):
        Settings.from_env({f"COATCHECK_{name}": value for name, value in (stores | {"CORS_ORIGINS": origins}).items()})

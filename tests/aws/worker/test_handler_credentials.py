"""The credentials of handlers: those of their own role, by the endpoint that AWS SDKs ask, and to nobody else."""

from __future__ import annotations

from collections.abc import Mapping

import botocore.session
import httpx
import pytest

from coatcheck.core.clock import HOUR, MINUTE
from coatcheck_worker.supervisor.handler_credentials import HandlerCredentials
from coatcheck_worker.supervisor.handler_environment import environment_for_handlers
from tests.aws.worker.worker_harness import WorkerHarness
from tests.transports import Fault, FaultyTransport, on, throttle

ROLE = "arn:aws:iam::000000000000:role/handlers"


def ask(environment: Mapping[str, str], token: str | None = None) -> httpx.Response:
    """What an SDK of a handler gets, which presents the token of its environment, or another."""
    given = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] if token is None else token
    url = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    return httpx.get(url, headers={b"Authorization": given.encode("latin-1")}, trust_env=False)


def test_an_sdk_finds_the_credentials_of_the_role(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = HandlerCredentials(harness.transport, ROLE, harness.clock)
    worker = {"AWS_ACCESS_KEY_ID": "the worker's", "AWS_SECRET_ACCESS_KEY": "the worker's"}
    for name in worker:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment_for_handlers(worker, endpoint.environment).items():
        monkeypatch.setenv(name, value)
    found = botocore.session.Session().get_credentials()
    assert found is not None
    assert found.method == "container-role"
    assert found.get_frozen_credentials().access_key == endpoint.credentials().access_key_id != "the worker's"
    assert found.get_frozen_credentials().token


def test_one_session_serves_an_hour_of_jobs_and_is_replaced_before_its_end(harness: WorkerHarness) -> None:
    counting = FaultyTransport(harness.transport)
    endpoint = HandlerCredentials(counting, ROLE, harness.clock)
    first = {ask(endpoint.environment).json()["AccessKeyId"] for _ in range(5)}
    assert (len(first), counting.operations) == (1, ["AssumeRole"])
    harness.clock.ahead = HOUR - 20 * MINUTE
    assert ask(endpoint.environment).json()["AccessKeyId"] in first
    harness.clock.ahead = HOUR - 14 * MINUTE
    assert ask(endpoint.environment).json()["AccessKeyId"] not in first
    assert counting.operations == ["AssumeRole"] * 2


@pytest.mark.parametrize("token", ["", "Bearer", "x" * 43, "caf\xe9"])
def test_whoever_lacks_the_token_gets_nothing(harness: WorkerHarness, token: str) -> None:
    counting = FaultyTransport(harness.transport)
    answer = ask(HandlerCredentials(counting, ROLE, harness.clock).environment, token)
    assert (answer.status_code, counting.operations) == (401, [])
    assert answer.json().keys() == {"code", "message"}


def test_an_outage_is_told_and_the_next_request_tries_again(harness: WorkerHarness) -> None:
    out = FaultyTransport(harness.transport, Fault(throttle, on("AssumeRole"), times=1))
    endpoint = HandlerCredentials(out, ROLE, harness.clock)
    assert (ask(endpoint.environment).status_code, ask(endpoint.environment).status_code) == (503, 200)


def test_no_secret_is_in_what_represents_them(harness: WorkerHarness) -> None:
    found = HandlerCredentials(harness.transport, ROLE, harness.clock).credentials()
    assert found.secret_access_key not in repr(found)
    assert found.session_token not in repr(found)

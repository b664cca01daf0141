"""Secrets of handlers, over the wire: read when they are asked for, kept for five minutes, and never in a log."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.authoring.context import Context
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from coatcheck_infra.local.resources import client
from coatcheck_worker.dependencies import Dependencies
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.transports import Fault, FaultyTransport, on, throttle

Reads = Callable[[Number, Context], Number]


@pytest.fixture
def secrets_manager(emulator_url: str) -> Any:
    return client("secretsmanager", emulator_url)


@pytest.fixture
def stored(secrets_manager: Any) -> str:
    """The name of a secret in Secrets Manager, whose value is `one`."""
    name = f"payments/{secrets.token_hex(6)}"
    secrets_manager.create_secret(Name=name, SecretString="one")
    return name


def reader(seen: list[str], name: str = "PAYMENTS_KEY") -> Reads:
    def read(value: Number, ctx: Context) -> Number:
        seen.append(ctx.secret(name))
        return value

    return read


def deployed(
    harness: WorkerHarness, run: Reads, declared: dict[str, str], transport: Transport | None = None
) -> Dependencies:
    dependencies = harness.dependencies(run, transport)
    return replace(dependencies, settings=harness.settings.model_copy(update={"secrets": declared}))


def test_a_value_is_kept_for_five_minutes_and_then_read_again(
    harness: WorkerHarness, secrets_manager: Any, stored: str
) -> None:
    seen: list[str] = []
    counting = FaultyTransport(harness.transport)
    dependencies = deployed(harness, reader(seen), {"PAYMENTS_KEY": stored}, counting)
    harness.run(dependencies, harness.submit())
    secrets_manager.put_secret_value(SecretId=stored, SecretString="two")
    harness.clock.ahead += 5 * MINUTE - 30 * SECOND
    harness.run(dependencies, harness.submit())
    harness.clock.ahead += 31 * SECOND
    harness.run(dependencies, harness.submit())
    assert seen == ["one", "one", "two"]
    assert counting.operations.count("GetSecretValue") == 2


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({}, "the secret PAYMENTS_KEY is not declared: add it to [tool.coatcheck.handlers] secrets"),
        ({"PAYMENTS_KEY": "nowhere/none"}, "has no text in Secrets Manager: store it there as nowhere/none"),
    ],
)
def test_a_secret_that_is_missing_fails_the_attempt_and_the_log_says_what_to_do(
    harness: WorkerHarness, caplog: pytest.LogCaptureFixture, declared: dict[str, str], said: str
) -> None:
    job = harness.submit()
    harness.run(deployed(harness, reader([]), declared), job)
    assert harness.row(job).status is Status.QUEUED
    assert said in caplog.text


def test_an_outage_of_secrets_manager_is_a_failed_attempt_that_names_it(
    harness: WorkerHarness, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    out = FaultyTransport(harness.transport, Fault(throttle, on("GetSecretValue"), times=1))
    dependencies = deployed(harness, reader(seen), {"PAYMENTS_KEY": stored}, out)
    job = harness.submit()
    harness.run(dependencies, job)
    assert harness.row(job).status is Status.QUEUED
    assert "secretsmanager GetSecretValue: ThrottlingException" in caplog.text
    harness.run(dependencies, job)
    assert (harness.row(job).status, seen) == (Status.SUCCEEDED, ["one"])


def test_without_declared_secrets_they_are_environment_variables(
    harness: WorkerHarness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    dependencies = harness.dependencies(reader(seen))
    monkeypatch.setenv("PAYMENTS_KEY", "from the shell")
    harness.run(dependencies, harness.submit())
    assert seen == ["from the shell"]
    monkeypatch.delenv("PAYMENTS_KEY")
    harness.run(dependencies, harness.submit())
    assert "there is no secret PAYMENTS_KEY: set the environment variable PAYMENTS_KEY" in caplog.text


def test_no_value_is_in_a_log_or_in_what_represents_the_worker(
    harness: WorkerHarness, secrets_manager: Any, caplog: pytest.LogCaptureFixture
) -> None:
    value, name = secrets.token_hex(16), f"payments/{secrets.token_hex(6)}"
    secrets_manager.create_secret(Name=name, SecretString=value)
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    # the answers themselves are only in the debug log of botocore, which the worker never switches on
    logging.getLogger("botocore").setLevel(logging.INFO)
    dependencies = deployed(harness, reader(seen), {"PAYMENTS_KEY": name})
    harness.run(dependencies, harness.submit())
    assert seen == [value]
    assert value not in caplog.text
    assert value not in repr(dependencies.secrets)

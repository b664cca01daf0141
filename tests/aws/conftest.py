"""What the tests of AWS calls run on: both emulators, and the doors to them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from coatcheck_infra.local import environment
from tests.aws import emulators


@pytest.fixture(scope="session", params=["ministack", "moto"])
def emulator_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an emulator; a test that asks for it runs once on each."""
    if request.param == "moto":
        with emulators.moto(tmp_path_factory.mktemp("moto")) as url:
            yield url
    else:
        with emulators.ministack(tmp_path_factory.mktemp("ministack")) as url:
            yield url


@pytest.fixture(scope="session")
def settings(emulator_url: str) -> Settings:
    """The template's stores on the emulator."""
    return emulators.deployment_on(emulator_url)


@pytest.fixture(scope="session")
def aws(emulator_url: str, settings: Settings) -> Transport:  # noqa: ARG001 - nothing to call before it is there
    """The worker's door."""
    return emulators.connect(emulator_url)


@pytest.fixture
def tenant() -> str:
    """A tenant of this test's own, so that tests share an emulator without meeting."""
    return f"t-{secrets.token_hex(6)}"


@pytest.fixture
def shell(emulator_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of an owner whose AWS is the emulator."""
    kept = environment.child_environment(os.environ, tmp_path, emulator_url)
    for name in os.environ.keys() - kept.keys():
        monkeypatch.delenv(name)
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    return kept

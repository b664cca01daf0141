"""What the tests of dead letters run on."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from coatcheck.deployment import WEBHOOKS, Deployment
from infra.dead_letters.place import Place
from infra.embedded import environment
from infra.embedded.stack import client
from tests.aws.dead_letters.post import Post
from tests.aws.worker.world import World
from worker.aws import Boto


@pytest.fixture
def post(aws: Boto, deployment: Deployment, emulator_url: str, tenant: str) -> Post:
    sqs, name = client("sqs", emulator_url), secrets.token_hex(6)
    queues, dead_letters = (
        {lane: sqs.create_queue(QueueName=f"{name}-{lane}-{kind}")["QueueUrl"] for lane in ("default", WEBHOOKS)}
        for kind in ("queue", "dead")
    )
    own = deployment.model_copy(update={"queues": queues, "dead_letters": dead_letters})
    return Post(Place(aws, own), World(aws, own, tenant), sqs)


@pytest.fixture
def shell(emulator_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of an owner whose AWS is the emulator."""
    kept = environment.of_parts(os.environ, tmp_path, emulator_url)
    for name in os.environ.keys() - kept.keys():
        monkeypatch.delenv(name)
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    return kept

"""What the tests of dead letters run on."""

from __future__ import annotations

import secrets

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck_infra.local.resources import client
from coatcheck_infra.ops.target_deployment import TargetDeployment
from tests.aws.dead_letters.dead_letter_harness import DeadLetterHarness
from tests.aws.worker.worker_harness import WorkerHarness


@pytest.fixture
def dlq(aws: Transport, settings: Settings, emulator_url: str, tenant: str) -> DeadLetterHarness:
    sqs, name = client("sqs", emulator_url), secrets.token_hex(6)
    queues, dead_letters = (
        {lane: sqs.create_queue(QueueName=f"{name}-{lane}-{kind}")["QueueUrl"] for lane in ("default", WEBHOOKS)}
        for kind in ("queue", "dead")
    )
    own = settings.model_copy(update={"queues": queues, "dead_letters": dead_letters})
    return DeadLetterHarness(TargetDeployment(aws, own), WorkerHarness(aws, own, tenant), sqs)

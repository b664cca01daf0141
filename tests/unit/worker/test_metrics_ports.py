"""A worker with several lanes: each of its processes serves its metrics on a port of its own."""

from __future__ import annotations

import json

from coatcheck.core.settings import Settings
from coatcheck_worker.__main__ import metrics_ports

QUEUES = json.dumps({"default": "-", "heavy": "-", "webhooks": "-"})
GIVEN = {"TABLE": "t", "BUCKET": "b", "QUEUES": QUEUES, "DEAD_LETTERS": QUEUES, "WEBHOOK_KEY": "-"}


def settings(**more: str) -> Settings:
    return Settings.from_env({f"COATCHECK_{name}": value for name, value in {**GIVEN, **more}.items()})


def test_each_lane_has_the_next_port() -> None:
    lanes = ["default", "heavy", "webhooks"]
    assert metrics_ports(settings(METRICS_PORT="9464"), lanes) == {"default": 9464, "heavy": 9465, "webhooks": 9466}
    assert metrics_ports(settings(), lanes) == {}

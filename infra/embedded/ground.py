"""What both ways of running stand on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from infra.embedded.emulator import Emulator
from infra.embedded.home import Home
from infra.embedded.logs import Say
from infra.embedded.processes import Processes

TENANT = "local"

WEBHOOK_TARGETS = {"COATCHECK_WEBHOOK_TARGETS": "local"}
"""Said to every part, in place of the template's: who tries webhooks here receives them here."""


@dataclass(frozen=True)
class Ground:
    """`listener` is the open socket of `url`; `env` is what every part is started with, the emulator in it."""

    url: str
    listener: int
    api_key: str
    workers: int
    emulator: Emulator
    env: Mapping[str, str]
    home: Home
    processes: Processes
    say: Say


def api_keys(key: str) -> str:
    """The one key of a local stack as the service wants it: only its hash leaves `up`."""
    return json.dumps({hashlib.sha256(key.encode()).hexdigest(): TENANT})

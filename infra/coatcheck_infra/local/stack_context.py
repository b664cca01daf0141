"""What both ways of running stand on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from coatcheck_infra.local.emulator import Emulator
from coatcheck_infra.local.home import Home
from coatcheck_infra.local.processes import ProcessManager
from coatcheck_infra.local.terminal import LineWriter

TENANT = "local"

WEBHOOK_TARGETS = {"COATCHECK_WEBHOOK_TARGETS": "local"}
"""Said to every part, in place of the template's: who tries webhooks here receives them here."""


@dataclass(frozen=True)
class StackContext:
    """`listener` is the open socket of `url`; `env` is what every part is started with, the emulator in it."""

    url: str
    listener: int
    api_key: str
    workers: int
    emulator: Emulator
    env: Mapping[str, str]
    home: Home
    process_manager: ProcessManager
    write_line: LineWriter


def api_keys(key: str) -> str:
    """The one key of a local stack as the service wants it: only its hash leaves `up`."""
    return json.dumps({hashlib.sha256(key.encode()).hexdigest(): TENANT})

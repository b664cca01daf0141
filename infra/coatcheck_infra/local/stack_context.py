"""The context that the default stack and the full stack share."""

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
"""Set for every process, in place of the template's value: local receivers must be able to get webhooks."""


@dataclass(frozen=True)
class StackContext:
    """`listener` is the open socket of `url`; `env` is the environment of every process, with the emulator's URL."""

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
    """Return the API key of a local stack as the service's setting: only its hash leaves `up`."""
    return json.dumps({hashlib.sha256(key.encode()).hexdigest(): TENANT})

"""The context that the default stack and the full stack share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck_infra.local.emulator import Emulator
from coatcheck_infra.local.home import TENANT, Home
from coatcheck_infra.local.processes import ProcessManager, ProcessSpec
from coatcheck_infra.local.terminal import LineWriter
from coatcheck_infra.project.config import Project


@dataclass(frozen=True)
class StackContext:
    """`listener` is the open socket of `url`; `env` is the environment of every process, with the emulator's URL.

    `api_keys` are those of the tenants, `template` is the project's for this machine. `front_door` is the name of the
    door that `--whole` leads clients to.
    """

    url: str
    listener: int
    api_keys: Mapping[str, str]
    workers: int
    emulator: Emulator
    env: Mapping[str, str]
    home: Home
    project: Project
    template: Mapping[str, Any]
    process_manager: ProcessManager
    write_line: LineWriter
    front_door: str

    @property
    def api_key(self) -> str:
        """The key of the tenant that `up` itself uses."""
        return self.api_keys[TENANT]


@dataclass(frozen=True)
class PreparedStack:
    """Processes to run, and the environment with which another process can join them."""

    specs: Sequence[ProcessSpec]
    env: Mapping[str, str]

"""Runs MiniStack with its mends: `python -m infra.embedded.ministack`, under MiniStack's own interpreter.

The mends reach into private names of the pinned MiniStack: a name that is not there ends the start with a line
that says so. The template never bends to the emulator.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.embedded.ministack import alarms, functions, requests
from infra.embedded.ministack.turns import Turns
from infra.embedded.unpacked import DIRECTORY

Mend = Callable[[Any], Any]


def main() -> None:
    for module, name, mended in mends(Path(os.environ.get(DIRECTORY, "nowhere"))):
        mend(module, name, mended)
    importlib.import_module("ministack.app").main()


def mends(unpacked: Path) -> list[tuple[str, str, Mend]]:
    """What is replaced: a module, a name in it, and what makes the new from the old.

    `unpacked` is where code may be that needs no unpacking.
    """
    turns: dict[str, Turns] = defaultdict(Turns)
    return [
        ("ministack.services.lambda_svc", "_execute_function_dispatch", functools.partial(functions.in_turn, turns)),
        ("ministack.services.lambda_svc", "_sqs_esm_concurrency", functions.with_numbers),
        ("ministack.core.lambda_runtime", "Worker._spawn", functools.partial(functions.noticed, turns)),
        ("ministack.core.lambda_runtime", "Worker._read_stderr", functions.as_they_come),
        ("ministack.core.lambda_runtime", "Worker._drain_stderr_bounded", functions.nothing_left),
        ("ministack.core.lambda_runtime", "zipfile", functools.partial(functions.linked, unpacked)),
        ("ministack.services.cloudformation.provisioners", "_cw_metric_alarm_record", alarms.of_one_metric),
        ("ministack.services.apigateway_v1", "_media_type_matches", requests.any_media_type),
        ("ministack.app", "pin_request_origin", requests.over_tls),
        ("ministack.app", "app", requests.hung_up_on),
    ]


def mend(module: str, name: str, mended: Mend) -> None:
    """Replace `name` of `module`. Ends the process with one line where there is none."""
    *owners, last = name.split(".")
    try:
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, last, mended(getattr(owner, last)))
    except (ImportError, AttributeError):
        sys.exit(f"this MiniStack has no {module}.{name}: the mends fit the version in requirements/ministack.txt")


if __name__ == "__main__":
    main()

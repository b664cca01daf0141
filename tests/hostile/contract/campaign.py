"""Sends the service requests that are made from its OpenAPI document, and holds each answer against the document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.aws import emulators
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.hostile.isolation.victim import Thing, make_victim
from tests.hostile.tools import SCHEMATHESIS, run_tool

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)
"""What is checked of each answer: https://schemathesis.readthedocs.io/en/stable/reference/checks/"""

KNOWN_SHARE = 0.5
"""How many of the ids in paths are those of something that is there."""

_GENERATED = re.compile(r"([\d,]+) generated")


@dataclass(frozen=True)
class Piece:
    """One run: how many requests were made, and what it found, as it says it."""

    cases: int
    passed: bool
    said: str


@contextmanager
def served(scratch: Path) -> Iterator[Api]:
    """The service on an emulator of its own."""
    with emulators.ministack(scratch) as url:
        settings, worker = emulators.deployment_on(url), emulators.connect(url)
        with run_service(settings, worker, url) as running, clients_of(running) as api:
            yield api


def run_piece(api: Api, scratch: Path, *, examples: int, seed: int, phases: Sequence[str]) -> Piece:
    """Make up to so many `examples` of each operation in each phase."""
    config = scratch / f"contract-{seed}.toml"
    config.write_text(_config(make_victim(api).things))
    done = run_tool(
        SCHEMATHESIS,
        "--config-file",
        config,
        "run",
        f"{api.url}/openapi.json",
        f"--header=Authorization: {api.http.headers['authorization']}",
        f"--checks={','.join(CHECKS)}",
        f"--phases={','.join(phases)}",
        f"--max-examples={examples}",
        f"--seed={seed}",
        "--max-redirects=0",
        "--request-timeout=60",
        "--suppress-health-check=all",
        "--continue-on-failure",
        "--warnings=off",
        "--no-color",
        cwd=scratch,
    )
    made = _GENERATED.search(done.stdout)
    return Piece(int(made[1].replace(",", "")) if made else 0, done.returncode == 0, done.stdout + done.stderr)


def _config(things: Sequence[Thing]) -> str:
    """Name what is there, for the parameters of paths: an id that is guessed never leads anywhere."""
    known: dict[str, set[str]] = {}
    for thing in things:
        for name, value in thing.names.items():
            known.setdefault(name, set()).add(value)
    return "".join(
        _table(f"dictionaries.{name}", {"values": sorted(values)}) for name, values in known.items()
    ) + "".join(_table(f'parameters."path.{name}"', {"dictionary": name, "probability": KNOWN_SHARE}) for name in known)


def _table(name: str, members: Mapping[str, object]) -> str:
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in members.items())
    return f"[{name}]\n{''.join(lines)}\n"

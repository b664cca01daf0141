"""The job types whose jobs API Gateway makes: `python -m coatcheck_infra.project.proxied_types [FOLDER]` prints them.

It imports the project's modules, so what makes a template runs it as a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coatcheck.authoring.loading import JobTypeError, load_job_types
from coatcheck.core.suggestions import unknown
from coatcheck_infra.project.config import Project, ProjectError, find_project
from coatcheck_infra.project.request_models import NotExpressible, submit_model

LIMIT = 60.0
"""Seconds that the import may take."""


@dataclass(frozen=True, slots=True)
class ProxiedType:
    """A job type as API Gateway needs it. `timeout` is in seconds, and `model` the model of its submits."""

    name: str
    lane: str
    timeout: float
    max_attempts: int
    model: dict[str, Any]


def read_proxied_types(project: Project) -> Sequence[ProxiedType]:
    """Return the types that `service-proxy` names. Raises ProjectError."""
    if not project.config.api.service_proxy:
        return ()
    command = [sys.executable, "-m", "coatcheck_infra.project.proxied_types", str(project.root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise ProjectError(f"tool.coatcheck.api: the job types took longer than {LIMIT:g} s to import") from None
    if done.returncode:
        raise ProjectError((done.stderr.strip().splitlines() or ["the job types cannot be imported"])[-1])
    return [ProxiedType(**one) for one in json.loads(done.stdout)]


def proxied_types(project: Project) -> Iterator[ProxiedType]:
    """Import the project's job types, and yield those that `service-proxy` names. Raises ProjectError."""
    sys.path.insert(0, str(project.root))
    try:
        catalog = load_job_types(project.config.jobs)
    except JobTypeError as error:
        raise ProjectError(str(error)) from None
    for name in project.config.api.service_proxy:
        if name not in catalog:
            wrong = unknown("job type", name, catalog, see=f"there are {', '.join(sorted(catalog))}")
            raise ProjectError(f"tool.coatcheck.api: service-proxy: {wrong}")
        one = catalog[name]
        try:
            model = submit_model(name, one.input)
        except NotExpressible as error:
            raise ProjectError(
                f"tool.coatcheck.api: service-proxy: API Gateway cannot check {name}: {error}: remove it from "
                "service-proxy (docs/front-doors.md)"
            ) from None
        yield ProxiedType(name, one.lane, one.timeout, one.max_attempts, model)


def main() -> int:
    """Print the types as JSON, or one line that says what is wrong."""
    try:
        project = find_project(Path(*sys.argv[1:2]))
        os.chdir(project.root)
        made = [asdict(one) for one in proxied_types(project)]
    except ProjectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What runs in the container images, which the Dockerfiles and the template both say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

API_PORT = 8000
HEALTH_FILE = "/tmp/coatcheck-health"  # noqa: S108 - a path in the image, whose /tmp belongs to one process


@dataclass(frozen=True)
class ContainerProgram:
    """A program, its arguments unless others are given, what tells whether it is well, and the port that it serves."""

    entrypoint: Sequence[str]
    arguments: Sequence[str]
    health_check: Sequence[str]
    port: int | None = None


API = ContainerProgram(
    entrypoint=("python", "-m", "coatcheck_service"),
    arguments=("--host", "0.0.0.0", "--port", str(API_PORT)),  # noqa: S104 - a container has a network of its own
    health_check=("python", "-m", "coatcheck_service.health_check", "--port", str(API_PORT)),
    port=API_PORT,
)
BEHIND_LOAD_BALANCER = replace(API, arguments=(*API.arguments, "--keep-alive", "75"))
"""A connection is kept longer than a load balancer keeps it idle, 60 s: else requests meet closed ones.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html#connection-idle-timeout
"""

WORKER = ContainerProgram(
    entrypoint=("python", "-m", "coatcheck_worker", "--health-file", HEALTH_FILE),
    arguments=(),
    health_check=("python", "-m", "coatcheck_worker.health_check", HEALTH_FILE),
)
DELIVERER = ContainerProgram(WORKER.entrypoint, ("--lane", "webhooks"), WORKER.health_check)
SWEEPER = ContainerProgram(
    entrypoint=("python", "-m", "coatcheck_worker.sweep", "--health-file", HEALTH_FILE),
    arguments=("--every", "60"),
    health_check=(*WORKER.health_check, "--within", "300"),
)

"""The data of the build: what is zipped, and for which target."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from coatcheck_infra.project.config import DEFAULT_PYTHON


@dataclass(frozen=True)
class Target:
    """The platform that a zip runs on.

    `python` is a version such as "3.13"; `platform` is uv's name of the platform, or None for this machine; `machine`
    is what its owner calls it; `magic` is the first bytes of a .pyc of that Python; `unpacked_limit` is the most bytes
    that it takes when unpacked, if there is a limit.
    """

    name: str
    python: str
    platform: str | None
    machine: str
    magic: bytes
    unpacked_limit: int | None = None

    def __str__(self) -> str:
        return f"python{self.python}, {self.machine}"


MAGIC_NUMBERS: Mapping[str, int] = {"3.13": 3571, "3.14": 3627}
"""How a .pyc of each Python begins that functions may run (importlib.util.MAGIC_NUMBER)."""


def lambda_target(python: str) -> Target:
    """Return the target of the zips of functions that run this Python: `python` of the project."""
    return Target(
        "lambda",
        python=python,
        # Lambda runs both on Amazon Linux 2023, whose glibc is 2.34
        platform="aarch64-manylinux_2_34",
        machine="arm64",
        magic=MAGIC_NUMBERS[python].to_bytes(2, "little") + b"\r\n",
        unpacked_limit=250 * 1024 * 1024,
    )


def image_target(python: str, machine: str) -> Target:
    """Return the target of container images with this Python for `machine`: "arm64" or "x86_64"."""
    known_as = {"arm64": "aarch64", "x86_64": "x86_64"}[machine]
    platform = f"{known_as}-manylinux_2_34"
    return replace(lambda_target(python), name="image", platform=platform, machine=machine, unpacked_limit=None)


LAMBDA = lambda_target(DEFAULT_PYTHON)
LOCAL = Target(
    "local",
    python=f"{sys.version_info.major}.{sys.version_info.minor}",
    platform=None,
    machine="this machine",
    magic=importlib.util.MAGIC_NUMBER,
)


@dataclass(frozen=True)
class ZipSpec:
    """One zip.

    `packages` are our own packages in it, each installed by the distribution of that name; `groups` the owner's
    dependency groups, besides `[project] dependencies`; `handlers` what is called in it, by Lambda or by the container.
    Functions of the project's job types are called by the zip that `runs_jobs`. `requirements` is what it needs
    besides.
    """

    name: str
    packages: tuple[str, ...]
    groups: tuple[str, ...]
    handlers: tuple[str, ...]
    runs_jobs: bool
    requirements: tuple[str, ...] = ()


SERVICE = ZipSpec(
    "service",
    packages=("coatcheck", "coatcheck_service"),
    groups=(),
    handlers=(
        "coatcheck_service.aws_lambda.handler",
        "coatcheck_service.aws_admin_lambda.handler",
        "coatcheck_service.authorizer.handler",
    ),
    runs_jobs=False,
)
# The deliverer and the sweeper use the worker's zip. Modules that are not imported do not slow a start, so a third zip
# would gain nothing.
WORKER = ZipSpec(
    "worker",
    packages=("coatcheck", "coatcheck_worker"),
    groups=("handlers",),
    handlers=(
        "coatcheck_worker.aws_lambda.run",
        "coatcheck_worker.aws_deliverer_lambda.deliver",
        "coatcheck_worker.aws_sweeper_lambda.sweep",
        "coatcheck_worker.aws_dispatcher.dispatch",
    ),
    runs_jobs=True,
)

API_IMAGE = replace(
    SERVICE,
    name="api",
    handlers=(
        "coatcheck_service.__main__.main",
        "coatcheck_service.main.app",
        "coatcheck_service.health_check.main",
    ),
    requirements=("uvicorn>=0.38",),
)
STREAMED_SERVICE = replace(
    SERVICE, handlers=(*SERVICE.handlers, *API_IMAGE.handlers), requirements=API_IMAGE.requirements
)
"""service.zip of a project whose answers stream: uvicorn too, which the Lambda Web Adapter sends requests to."""

WORKER_IMAGE = replace(
    WORKER,
    handlers=(
        "coatcheck_worker.__main__.main",
        "coatcheck_worker.supervisor.__main__.main",
        "coatcheck_worker.runner.__main__.main",
        "coatcheck_worker.runner.forkserver.main",
        "coatcheck_worker.webhooks.__main__.main",
        "coatcheck_worker.sweep.__main__.main",
        "coatcheck_worker.health_check.main",
    ),
)

OUR_DISTRIBUTIONS = frozenset({"coatcheck", "coatcheck-service", "coatcheck-worker", "coatcheck-infra"})
"""What is copied from the running installation, and never taken from an index."""

EXCLUDED = ("coatcheck/client", "coatcheck/cli")
"""Our own packages that no function imports."""

TRIM = ("bin", "boto3/examples", "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd")
"""Files of the wheels that no import needs."""

AWS_SERVICES = frozenset({"dynamodb", "lambda", "s3", "secretsmanager", "sqs", "sts"})
"""The services whose models of the AWS SDK are kept in the zip."""

"""The data of the build: what is zipped, and for which target."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, replace


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


LAMBDA = Target(
    "lambda",
    python="3.13",
    # Lambda runs Python 3.13 on Amazon Linux 2023, whose glibc is 2.34
    platform="aarch64-manylinux_2_34",
    machine="arm64",
    magic=(3571).to_bytes(2, "little") + b"\r\n",
    unpacked_limit=250 * 1024 * 1024,
)
LOCAL = Target(
    "local",
    python=f"{sys.version_info.major}.{sys.version_info.minor}",
    platform=None,
    machine="this machine",
    magic=importlib.util.MAGIC_NUMBER,
)
TARGETS = {target.name: target for target in (LAMBDA, LOCAL)}

IMAGES = {
    machine: replace(LAMBDA, name="image", platform=f"{uv_name}-manylinux_2_34", machine=machine, unpacked_limit=None)
    for machine, uv_name in (("arm64", "aarch64"), ("x86_64", "x86_64"))
}
"""The targets of container images, by the architecture that `[tool.coatcheck.containers]` names."""


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

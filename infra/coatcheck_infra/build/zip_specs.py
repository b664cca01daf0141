"""The data of the build: what is zipped, and for which target."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The platform that a zip runs on.

    `python` is a version such as "3.13"; `platform` is uv's name of the platform, or None for this machine; `magic` is
    the first bytes of a .pyc of that Python.
    """

    name: str
    python: str
    platform: str | None
    magic: bytes


LAMBDA = Target(
    "lambda",
    python="3.13",
    # Lambda runs Python 3.13 on Amazon Linux 2023, whose glibc is 2.34
    platform="aarch64-manylinux_2_34",
    magic=(3571).to_bytes(2, "little") + b"\r\n",
)
LOCAL = Target(
    "local",
    python=f"{sys.version_info.major}.{sys.version_info.minor}",
    platform=None,
    magic=importlib.util.MAGIC_NUMBER,
)
TARGETS = {target.name: target for target in (LAMBDA, LOCAL)}


@dataclass(frozen=True)
class ZipSpec:
    """One zip: the requirements of requirements/{name}.txt, our own packages (by folder), and the handlers."""

    name: str
    packages: tuple[str, ...]
    handlers: tuple[str, ...]


SERVICE = ZipSpec(
    "service",
    packages=("coatcheck", "service/coatcheck_service", "jobs"),
    handlers=("coatcheck_service.aws_lambda.handler",),
)
# The deliverer and the sweeper use the worker's zip. Modules that are not imported do not slow a start, so a third zip
# would gain nothing.
WORKER = ZipSpec(
    "worker",
    packages=("coatcheck", "worker/coatcheck_worker", "jobs"),
    handlers=(
        "coatcheck_worker.aws_lambda.run",
        "coatcheck_worker.aws_lambda.deliver",
        "coatcheck_worker.aws_lambda.sweep",
    ),
)

EXCLUDED = ("coatcheck/client", "coatcheck/cli")
"""Our own packages that no function imports."""

TRIM = ("bin", "boto3/examples", "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd")
"""Files of the wheels that no import needs."""

AWS_SERVICES = frozenset({"dynamodb", "lambda", "s3", "secretsmanager", "sqs", "sts"})
"""The services whose models of the AWS SDK are kept in the zip."""

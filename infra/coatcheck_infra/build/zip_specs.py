"""What is zipped, and for what: the data of the build."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What a zip runs on.

    `python` is "3.13"; `platform` is uv's name for the machine, None for this one; `magic` is how a .pyc of
    that Python begins.
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
    """One zip: what requirements/{name}.txt asks for, our own packages (by their folder), and the handlers."""

    name: str
    packages: tuple[str, ...]
    handlers: tuple[str, ...]


SERVICE = ZipSpec(
    "service",
    packages=("coatcheck", "service/coatcheck_service", "jobs"),
    handlers=("coatcheck_service.aws_lambda.handler",),
)
# The deliverer and the sweeper have the worker's zip: what is not imported costs no start, and a third zip would gain
# nothing.
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
"""Our own, that no function imports."""

TRIM = ("bin", "boto3/examples", "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd")
"""What the wheels carry and no import needs."""

AWS_SERVICES = frozenset({"dynamodb", "lambda", "s3", "secretsmanager", "sqs", "sts"})
"""The services whose descriptions the AWS SDK keeps."""

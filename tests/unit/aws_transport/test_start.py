"""What starts fast loads no SDK: that takes longer than all else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SDKS = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore.client", "botocore.session", "urllib3")
ENTRANCES = (
    "coatcheck_service.app",
    "coatcheck_service.lambda_adapter",
    "coatcheck_worker.aws_lambda",
    "coatcheck_worker.supervisor.__main__",
    "coatcheck_worker.sweep.__main__",
    "coatcheck_worker.webhooks.__main__",
)
PROGRAM = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("module", ENTRANCES)
def test_it_loads_no_sdk(module: str) -> None:
    command = [sys.executable, "-c", PROGRAM, module]
    environ = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}
    loaded = subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout.split()
    assert sorted(set(SDKS) & set(loaded)) == []

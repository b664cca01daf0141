"""What starts fast loads no SDK, and no more modules than it needs: that takes longer than all else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.service_requests import service_environment

SDKS = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore.client", "botocore.session", "urllib3")
BUDGETS = {
    "coatcheck_service.authorizer": 132,
    "coatcheck_service.aws_lambda": 255,
    "coatcheck_service.aws_admin_lambda": 380,
    "coatcheck_worker.aws_lambda": 193,
    "coatcheck_worker.aws_deliverer_lambda": 195,
    "coatcheck_worker.aws_sweeper_lambda": 181,
    "coatcheck_worker.supervisor.__main__": 194,
    "coatcheck_worker.sweep.__main__": 182,
    "coatcheck_worker.webhooks.__main__": 195,
}
"""Modules that each entry point may load, besides those of Python itself: as many as it does, and some more.

To see which they are: python -X importtime -c "import coatcheck_service.aws_lambda".
"""

PROGRAM = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize(("entry_point", "budget"), BUDGETS.items(), ids=BUDGETS)
def test_it_loads_no_sdk_and_keeps_to_its_budget(entry_point: str, budget: int) -> None:
    command = [sys.executable, "-c", PROGRAM, entry_point]
    with service_environment() as env:
        loaded = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.split()
    assert sorted(set(SDKS) & set(loaded)) == []
    modules = [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names]
    assert len(modules) <= budget, "load what is rarely needed where it is needed, or raise the budget"

"""The environment variables that the parts are started with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

REGION = "us-east-1"
ACCESS_KEY = "local"
SECRET_KEY = "made-up"  # noqa: S105 - the emulator takes any; nothing outside this machine knows it
LOOPBACK = "127.0.0.1"

# What the user's shell says of AWS, of another Coatcheck or of Python must not reach the parts: a stray
# AWS_ENDPOINT_URL_S3 or AWS_PROFILE would send them to a real account.
FOREIGN = ("AWS_", "COATCHECK_", "PYTHONPATH", "PYTHONHOME")


def child_environment(inherited: Mapping[str, str], scratch: Path, aws_endpoint_url: str) -> dict[str, str]:
    """What every part gets: the user's environment without `FOREIGN`, and the emulator as its AWS."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(FOREIGN)}
    no_proxy = ",".join(filter(None, [inherited.get("NO_PROXY"), inherited.get("no_proxy"), LOOPBACK, "localhost"]))
    return kept | {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws_endpoint_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(scratch),
    }

"""The environment variables of the child processes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REGION = "us-east-1"
ACCESS_KEY = "local"
SECRET_KEY = "made-up"  # noqa: S105 - taken only by an emulator that takes any
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Credentials:
    """An access key of the emulator."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def random(cls) -> Credentials:
        """Make a key; each half has at least 128 random bits."""
        return cls(f"CCK{secrets.token_hex(16).upper()}", secrets.token_hex(32))


MADE_UP = Credentials(ACCESS_KEY, SECRET_KEY)
"""For an emulator without access control, as in tests."""

# Variables of the user's shell for AWS, another Coatcheck or Python must not reach the processes: a stray
# AWS_ENDPOINT_URL_S3 or AWS_PROFILE would direct them to a real account.
FOREIGN = ("AWS_", "COATCHECK_", "PYTHONPATH", "PYTHONHOME")


JOINING = ("AWS_", "COATCHECK_", "NO_PROXY", "no_proxy", "PYTHONPATH")
"""The variables of a process of the stack that another process needs to join it."""


def joining_environment(env: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return what a process needs of `env` to join the stack, and `more`."""
    return {name: value for name, value in env.items() if name.startswith(JOINING)} | {**more}


def child_environment(
    inherited: Mapping[str, str], scratch: Path, aws_endpoint_url: str, credentials: Credentials = MADE_UP
) -> dict[str, str]:
    """Return the environment of every process: the user's without `FOREIGN`, with the emulator as its AWS."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(FOREIGN)}
    no_proxy = ",".join(filter(None, [inherited.get("NO_PROXY"), inherited.get("no_proxy"), LOOPBACK, "localhost"]))
    return kept | {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
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

"""The two emulators, each with the stores that infra/coatcheck_infra/template.yaml describes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import boto3
import httpx

import coatcheck_service.aws
import coatcheck_worker.aws
from coatcheck.aws_transport.async_transport import AsyncLeanTransport
from coatcheck.aws_transport.protocols import OpenableTransport, Transport
from coatcheck.aws_transport.sync_transport import LeanTransport
from coatcheck.core.settings import Settings
from coatcheck_infra.local import environment
from coatcheck_infra.local.resources import create_stores
from coatcheck_infra.template import read_template
from coatcheck_infra.toolchain.environments import MINISTACK
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_worker.aws import CONFIG
from coatcheck_worker.boto_transport import BotoTransport
from tests.example_jobs import MODULES
from tests.repository import ROOT

START_LIMIT = 30.0


@contextmanager
def ministack(scratch: Path) -> Iterator[str]:
    """MiniStack on a free port of the loopback interface; gives its URL."""
    port = _free_port()
    url = f"http://{environment.LOOPBACK}:{port}"
    env = environment.child_environment(os.environ, scratch, url) | {
        "BIND_HOST": environment.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    log = scratch / "ministack.log"
    with log.open("w") as out:
        command = [str(MINISTACK.python(os.environ)), "-m", "coatcheck_infra.local.ministack"]
        process = subprocess.Popen(
            command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=ROOT / "infra"
        )
        try:
            _wait_until_healthy(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def moto(scratch: Path, *, switch: float = 0.005) -> Iterator[str]:
    """moto's server on a free port of the loopback interface; gives its URL. Its threads take turns every `switch` s.

    In a process of its own: it keeps in memory what it is given, and the tests' process is one that is measured.
    """
    with (scratch / "moto.log").open("w") as log:
        # moto wants its classes to be of a module that has a name
        program = f"from tests.aws.moto_server import main; main(switch={switch})"
        command = [sys.executable, "-c", program]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as process:
            try:
                url = process.stdout.readline().strip() if process.stdout else ""
                if not url:
                    raise RuntimeError(f"moto did not start: {Path(log.name).read_text()[-2000:]}")
                yield url
            finally:
                process.terminate()


def deployment_on(url: str) -> Settings:
    """The template's table, bucket, queues and secret, made on the emulator at `url`."""
    made = create_stores(url, read_template())
    queues = {name: _reached_by(url, made[name]) for name in ("COATCHECK_QUEUES", "COATCHECK_DEAD_LETTERS")}
    return Settings.from_env({**made, **queues, "COATCHECK_JOBS": ",".join(MODULES)})


def _reached_by(url: str, queues: str) -> str:
    return json.dumps({lane: f"{url}/{queue.split('/', 3)[3]}" for lane, queue in json.loads(queues).items()})


def connect(url: str, credentials: environment.Credentials = environment.MADE_UP) -> Transport:
    """The worker's own transport, to the emulator at `url`; boto3 if the tests run with COATCHECK_TRANSPORT=boto3."""
    sdk = partial(BotoTransport, session(credentials), endpoint_url=url)
    if is_sdk_wanted():
        return sdk()
    return LeanTransport(coatcheck_worker.aws.aws_environment(environ_of(url, credentials)), sdk, CONFIG)


def connect_async(url: str, credentials: environment.Credentials = environment.MADE_UP) -> OpenableTransport:
    """The service's own transport, likewise."""
    keys = (credentials.access_key_id, credentials.secret_access_key)
    sdk = partial(AioBotoTransport, url, aioboto3.Session(*keys, region_name=environment.REGION))
    if is_sdk_wanted():
        return sdk()
    found = coatcheck_service.aws.aws_environment(environ_of(url, credentials))
    return AsyncLeanTransport(found, sdk, coatcheck_service.aws.CONFIG)


def is_sdk_wanted() -> bool:
    """Whether the tests are to send everything by the SDKs."""
    return os.environ.get("COATCHECK_TRANSPORT") == "boto3"


def environ_of(url: str, credentials: environment.Credentials = environment.MADE_UP) -> dict[str, str]:
    """What the environment of a process says whose AWS is the emulator at `url`."""
    return {
        "AWS_DEFAULT_REGION": environment.REGION,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_ENDPOINT_URL": url,
        "AWS_CONFIG_FILE": os.devnull,
    }


def session(credentials: environment.Credentials = environment.MADE_UP) -> boto3.Session:
    """A session of the AWS SDK with these credentials."""
    return boto3.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        region_name=environment.REGION,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((environment.LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_LIMIT
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            if httpx.get(f"{url}/_ministack/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"MiniStack did not start: {log.read_text()[-2000:]}")

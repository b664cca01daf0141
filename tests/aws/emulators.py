"""The two emulators, each with the stores that infra/template.yaml describes."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import boto3
import httpx
from moto.core.common_models import CloudFormationModel
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.secretsmanager.models import secretsmanager_backends
from werkzeug.serving import make_server

from coatcheck.deployment import Deployment
from infra.embedded import environment
from infra.embedded.emulator import PYTHON
from infra.embedded.processes import ROOT
from infra.embedded.stack import make_stores
from worker.aws import Boto

START_LIMIT = 30.0


class MotoSecret(CloudFormationModel):
    """AWS::SecretsManager::Secret for moto's CloudFormation, which finds the subclasses of this by itself."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return "Name"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SecretsManager::Secret"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> MotoSecret:
        backend = secretsmanager_backends[account_id][region_name]
        wanted = cloudformation_json["Properties"]["GenerateSecretString"]
        value = secrets.token_hex(int(wanted["PasswordLength"]) // 2)
        made = backend.create_secret(resource_name, value, None, None, None, None, None, [], force_overwrite=False)
        return cls(json.loads(made)["ARN"])


@contextmanager
def ministack(scratch: Path) -> Iterator[str]:
    """MiniStack on a free port of the loopback interface; gives its URL."""
    port = _free_port()
    url = f"http://{environment.LOOPBACK}:{port}"
    env = environment.of_parts(os.environ, scratch, url) | {
        "BIND_HOST": environment.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }
    log = scratch / "ministack.log"
    with log.open("w") as out:
        command = [str(PYTHON), "-m", "infra.embedded.ministack"]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=ROOT)
        try:
            _wait_until_healthy(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(10)


class MotoApp(DomainDispatcherApplication):
    """moto, with one request to DynamoDB after the other: of two at once, both may find a condition to hold."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._table = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        of_the_table = environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_")
        with self._table if of_the_table else nullcontext():
            return super().__call__(environ, start_response)


@contextmanager
def moto() -> Iterator[str]:
    """moto's server on a free port of the loopback interface; gives its URL."""
    server = make_server(environment.LOOPBACK, 0, MotoApp(), threaded=True, request_handler=MotoRequestHandler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://{environment.LOOPBACK}:{server.server_port}"
        # it lives in this process, and remembers what was made in an earlier one
        httpx.post(f"{url}/moto-api/reset", trust_env=False).raise_for_status()
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deployment_on(url: str) -> Deployment:
    """The template's table, bucket, queues and secret, made on the emulator at `url`."""
    made = make_stores(url)
    queues = {name: _reached_by(url, made[name]) for name in ("COATCHECK_QUEUES", "COATCHECK_DEAD_LETTERS")}
    return Deployment.from_env(made | queues)


def _reached_by(url: str, queues: str) -> str:
    return json.dumps({lane: f"{url}/{queue.split('/', 3)[3]}" for lane, queue in json.loads(queues).items()})


def connect(url: str) -> Boto:
    """The worker's own door, to the emulator at `url`."""
    session = boto3.Session(
        aws_access_key_id=environment.ACCESS_KEY,
        aws_secret_access_key=environment.SECRET_KEY,
        region_name=environment.REGION,
    )
    return Boto(session, endpoint_url=url)


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

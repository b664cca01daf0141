"""moto on a free port, which is printed, in a process that ends with the one that started it."""

from __future__ import annotations

import json
import os
import secrets
import sys
from contextlib import nullcontext
from threading import Lock, Thread
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.secretsmanager.models import secretsmanager_backends
from werkzeug.serving import make_server

from coatcheck_infra.local import environment


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


class MotoApp(DomainDispatcherApplication):
    """moto, with one request to DynamoDB after the other: of two at once, both may find a condition to hold."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._table = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        of_the_table = environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_")
        with self._table if of_the_table else nullcontext():
            return super().__call__(environ, start_response)


def main(*, switch: float) -> None:
    """Serve until stdin is closed, whose other end the starter holds. Threads take turns every `switch` seconds."""
    sys.setswitchinterval(switch)
    server = make_server(environment.LOOPBACK, 0, MotoApp(), threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"http://{environment.LOOPBACK}:{server.server_port}\n")
    sys.stdout.flush()
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    # not to wait for connections that are kept alive
    os._exit(0)

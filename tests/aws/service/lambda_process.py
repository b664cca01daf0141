"""The Lambda handler, in a process of its own, given the events that API Gateway sends."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

from coatcheck.core import audit
from coatcheck_infra.local import environment
from tests.aws.service.running_service import Api
from tests.example_jobs import MODULES

RUN = """
import json, os, sys
from coatcheck_service.aws_lambda import handler
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), None)), flush=True)
os._exit(0)  # as Lambda ends it: without a word
"""


class InvokeFunction(Protocol):
    """What a warm function answers to one event after the other; `more` are variables of its environment."""

    def __call__(self, *events: dict[str, Any], **more: str) -> list[dict[str, Any]]: ...


def lambda_process(api: Api, scratch: Path, emulator_url: str) -> InvokeFunction:
    """A function on the stores of `api`."""

    def run(*events: dict[str, Any], **more: str) -> list[dict[str, Any]]:
        env = function_environment(api, scratch, emulator_url) | more
        command = [sys.executable, "-c", RUN]
        text = "".join(json.dumps(event) + "\n" for event in events)
        done = subprocess.run(command, input=text, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        loggers = [json.loads(line)["logger"] for line in done.stderr.splitlines()]
        requests = [logger for logger in loggers if logger != audit.LOGGER]
        assert requests == ["coatcheck_service.http.middleware"] * len(events)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def function_environment(api: Api, scratch: Path, emulator_url: str) -> dict[str, str]:
    """The environment of a function on the stores of `api`."""
    settings = api.running_service.settings
    return environment.child_environment(os.environ, scratch, emulator_url) | {
        "COATCHECK_TABLE": settings.table,
        "COATCHECK_BUCKET": settings.bucket,
        "COATCHECK_QUEUES": json.dumps(settings.queues),
        "COATCHECK_DEAD_LETTERS": json.dumps(settings.dead_letters),
        "COATCHECK_WEBHOOK_KEY": settings.webhook_key,
        "COATCHECK_API_KEYS": json.dumps(settings.api_keys),
        "COATCHECK_LOG": "json",
        "COATCHECK_JOBS": ",".join(MODULES),
    }


def event(
    api: Api, method: str, resource: str, *, body: Any = None, above: str = "/live", **names: str
) -> dict[str, Any]:
    """What a REST API sends: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""
    path = resource.format(**names)
    headers = {
        "Authorization": api.http.headers["authorization"],
        "Host": "abc.execute-api.us-east-1.amazonaws.com",
        "X-Forwarded-Proto": "https",
        "Content-Type": "application/json",
    }
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": names,
        "requestContext": {"requestId": "the-request-id", "path": above + path, "identity": {"sourceIp": "192.0.2.1"}},
        "body": None if body is None else base64.b64encode(json.dumps(body).encode()).decode(),
        "isBase64Encoded": body is not None,
    }


def body_of(answer: dict[str, Any]) -> bytes:
    """The bytes that API Gateway sends on."""
    assert answer["isBase64Encoded"] is (answer["body"] != "")
    return base64.b64decode(answer["body"])

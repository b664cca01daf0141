"""Which deployment is meant: a stack on AWS, the one in the environment, or the one that runs on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from coatcheck.client.endpoint import START, endpoint_file, listens, read_own
from coatcheck.client.errors import InvalidArgumentError, NoServerError
from coatcheck.deployment import Deployment
from worker.aws import Aws, Boto

NAMES = {"COATCHECK_TABLE": "TableName", "COATCHECK_BUCKET": "BucketName", "COATCHECK_WEBHOOK_KEY": "WebhookKeyArn"}
LANES = {"COATCHECK_QUEUES": "QueueUrl", "COATCHECK_DEAD_LETTERS": "DeadLettersUrl"}
"""The outputs of a stack that hold a setting: by their whole name, and by how they end after the lane's name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment and the way to it."""

    aws: Aws
    deployment: Deployment


def find(stack: str | None, environ: Mapping[str, str], here: Path) -> Place:
    """The deployment of `stack` on AWS, else that in `environ`, else that of the `coatcheck up` in the folder `here`.

    Raises InvalidArgumentError or NoServerError where there is none, BadSettings for a wrong variable, and botocore's
    errors where AWS cannot be asked.
    """
    if stack:
        return of_stack(stack, boto3.Session())
    if any(environ.get(variable) for variable in (*NAMES, *LANES)):
        deployment = Deployment.from_env(environ)
        return Place(Boto(), deployment)
    return _local(environ, here)


def of_stack(name: str, session: boto3.Session, endpoint_url: str | None = None) -> Place:
    """The deployment that a CloudFormation stack describes in its outputs. Raises as `find` does."""
    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    cloudformation = session.client("cloudformation", endpoint_url=endpoint_url, config=config)
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise InvalidArgumentError(f"--stack {name}: there is none of this name in {session.region_name}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    return Place(Boto(session, endpoint_url=endpoint_url), settings(name, outputs))


def settings(stack: str, outputs: Mapping[str, str]) -> Deployment:
    """The deployment in the outputs of a stack. Raises InvalidArgumentError where they are not those of Coatcheck."""
    lanes = {
        variable: {key.removesuffix(end).lower(): url for key, url in outputs.items() if key.endswith(end)}
        for variable, end in LANES.items()
    }
    absent = [name for name in NAMES.values() if name not in outputs]
    absent += [f"Default{end}" for variable, end in LANES.items() if not lanes[variable]]
    if absent:
        raise InvalidArgumentError(f"--stack {stack}: it is no Coatcheck, it has no output {', '.join(absent)}")
    named = {variable: outputs[name] for variable, name in NAMES.items()}
    return Deployment.from_env(named | {variable: json.dumps(queues) for variable, queues in lanes.items()})


def _local(environ: Mapping[str, str], here: Path) -> Place:
    # a worker's container, which has its environment, has nothing of what the local stack is made with
    from infra.embedded.stack import STACK, session  # noqa: PLC0415

    file = endpoint_file(environ, here)
    if file is None:
        raise NoServerError(f"no deployment here: {START}, or give --stack NAME, a stack of your AWS account")
    url = read_own(file, "aws_endpoint_url")["aws_endpoint_url"]
    if not listens(url):
        raise NoServerError(f"no answer from {url}, which {file} names: {START}")
    return of_stack(STACK, session(), url)

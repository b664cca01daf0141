"""Finds the target deployment: a stack on AWS, the one in the environment, or the one that runs on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from coatcheck.aws_transport.protocols import Transport
from coatcheck.client.exceptions import InvalidArgumentError, NoServerError
from coatcheck.client.server_config import START_HINT, find_endpoint_file, is_listening, read_endpoint_file
from coatcheck.core.settings import Settings
from coatcheck_infra.ops.stack_session import session_of
from coatcheck_infra.project.template_lanes import lane_of_id
from coatcheck_worker.boto_transport import BotoTransport

OUTPUT_NAMES = {
    "COATCHECK_TABLE": "TableName",
    "COATCHECK_BUCKET": "BucketName",
    "COATCHECK_WEBHOOK_KEY": "WebhookKeyArn",
}
PARAMETER_NAMES = {"COATCHECK_API_KEYS": "ApiKeys"}
LANE_OUTPUT_SUFFIXES = {"COATCHECK_QUEUES": "QueueUrl", "COATCHECK_DEAD_LETTERS": "DeadLettersUrl"}
"""The outputs of a stack that hold settings, by full name and by the suffix after the lane's name; its parameters."""


@dataclass(frozen=True, slots=True)
class TargetDeployment:
    """A deployment's settings, and the transport to its AWS account or emulator."""

    aws: Transport
    settings: Settings


def find_deployment(stack: str | None, environ: Mapping[str, str], here: Path) -> TargetDeployment:
    """Find the deployment of `stack` on AWS, else that in `environ`, else that of the `coatcheck up` of folder `here`.

    Raises InvalidArgumentError or NoServerError if there is no deployment, BadSettings for an invalid variable, and
    botocore's errors if a call to AWS fails.
    """
    if stack:
        return from_stack(stack, session_of(stack, here))
    if any(environ.get(variable) for variable in (*OUTPUT_NAMES, *LANE_OUTPUT_SUFFIXES)):
        settings = Settings.from_env(environ)
        return TargetDeployment(BotoTransport(), settings)
    return _from_local_stack(environ, here)


def from_stack(name: str, session: boto3.Session, endpoint_url: str | None = None) -> TargetDeployment:
    """Read the deployment from the outputs of a CloudFormation stack. Raises as `find_deployment` does."""
    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    cloudformation = session.client("cloudformation", endpoint_url=endpoint_url, config=config)
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise InvalidArgumentError(f"--stack {name}: no such stack in {session.region_name}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in described.get("Parameters", [])}
    settings = settings_from_outputs(name, outputs, parameters)
    return TargetDeployment(BotoTransport(session, endpoint_url=endpoint_url), settings)


def settings_from_outputs(
    stack: str, outputs: Mapping[str, str], parameters: Mapping[str, str] = MappingProxyType({})
) -> Settings:
    """Read settings from a stack's outputs, and from the parameters of one that was deployed before keys were items.

    Raises InvalidArgumentError if they are not those of Coatcheck.
    """
    lanes = {
        variable: {lane_of_id(key.removesuffix(end)): url for key, url in outputs.items() if key.endswith(end)}
        for variable, end in LANE_OUTPUT_SUFFIXES.items()
    }
    absent = [name for name in OUTPUT_NAMES.values() if name not in outputs]
    absent += [f"Default{end}" for variable, end in LANE_OUTPUT_SUFFIXES.items() if not lanes[variable]]
    if absent:
        raise InvalidArgumentError(f"--stack {stack}: not a stack of Coatcheck; it has no output {', '.join(absent)}")
    named = {variable: outputs[name] for variable, name in OUTPUT_NAMES.items()}
    named |= {variable: parameters[name] for variable, name in PARAMETER_NAMES.items() if name in parameters}
    return Settings.from_env(named | {variable: json.dumps(queues) for variable, queues in lanes.items()})


def _from_local_stack(environ: Mapping[str, str], here: Path) -> TargetDeployment:
    # imported late: a worker's container, which has its environment, lacks the packages of the local stack
    from coatcheck_infra.local.environment import Credentials  # noqa: PLC0415
    from coatcheck_infra.local.resources import STACK, session  # noqa: PLC0415

    file = find_endpoint_file(environ, here)
    if file is None:
        raise NoServerError(f"no deployment here: {START_HINT}, or give --stack NAME, a stack of your AWS account")
    url = read_endpoint_file(file, "aws_endpoint_url")["aws_endpoint_url"]
    if not is_listening(url):
        raise NoServerError(f"no answer from {url}, which {file} names: {START_HINT}")
    key = read_endpoint_file(file, "aws_access_key_id", "aws_secret_access_key")
    credentials = Credentials(key["aws_access_key_id"], key["aws_secret_access_key"])
    return from_stack(STACK, session(credentials), url)

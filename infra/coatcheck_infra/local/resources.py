"""Creates the emulator's resources from the template, their only description."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from coatcheck_infra.local.environment import MADE_UP, REGION, Credentials
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.template import TEMPLATE

STACK = "coatcheck"
STORE_TYPES = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SecretsManager::Secret"}
POLL = 0.05

Json = dict[str, Any]


def stores_template(template: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """Return a template with only the stores of `template`, and the names of the variables in its outputs, in order.

    The tables, buckets, queues and secrets stay as they are, and so do the outputs that name them. More outputs hold
    the environment variables that the template gives every function, so CloudFormation itself fills in the names that
    the processes need.
    """
    variables: Json = template["Globals"]["Function"]["Environment"]["Variables"]
    stores = {name: one for name, one in template["Resources"].items() if one["Type"] in STORE_TYPES}
    kept = {section: template[section] for section in ("Parameters", "Mappings", "Conditions") if section in template}
    outputs = {name: one for name, one in template["Outputs"].items() if not stores.keys().isdisjoint(_refers_to(one))}
    outputs |= {f"Variable{n}": {"Value": value} for n, value in enumerate(variables.values())}
    return kept | {"Resources": stores, "Outputs": outputs}, list(variables)


def _refers_to(value: Any) -> Iterator[str]:
    """Yield the name in every `Ref` of a value."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case dict():
            yield from (name for inner in value.values() for name in _refers_to(inner))
        case list():
            yield from (name for inner in value for name in _refers_to(inner))


def create_stores(
    aws_endpoint_url: str, template: Mapping[str, Any], credentials: Credentials = MADE_UP
) -> dict[str, str]:
    """Create the template's tables, buckets, queues and secrets. Returns the environment variables that name them.

    Raises `UpError` with CloudFormation's reason.
    """
    stores, names = stores_template(template)
    outputs = deploy_stack(
        client("cloudformation", aws_endpoint_url, credentials), {"TemplateBody": json.dumps(stores)}, {}
    )
    return {name: outputs[f"Variable{n}"] for n, name in enumerate(names)}


def session(credentials: Credentials = MADE_UP) -> boto3.Session:
    """Make a session for the emulator. Nothing in the user's shell or AWS configuration affects its clients.

    Each client must be given the emulator's URL.
    """
    nowhere = (None, None, os.devnull, None)
    bare = botocore.session.Session(
        {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    )
    bare.set_default_client_config(Config(proxies={}))
    return boto3.Session(credentials.access_key_id, credentials.secret_access_key, None, REGION, bare)


def client(service: str, aws_endpoint_url: str, credentials: Credentials = MADE_UP) -> Any:
    """Make a client for the emulator from such a session."""
    config = Config(retries={"total_max_attempts": 1})
    return session(credentials).client(service, endpoint_url=aws_endpoint_url, config=config)


def deploy_stack(cloudformation: Any, template: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, str]:
    """Create the stack, wait for it, and return its outputs.

    `template` is `TemplateBody` or `TemplateURL`, as the request names them. Raises `UpError` with
    CloudFormation's reason.
    """
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    try:
        cloudformation.create_stack(StackName=STACK, Parameters=given, Capabilities=capabilities, **template)
        while (stack := _describe_stack(cloudformation))["StackStatus"].endswith("_IN_PROGRESS"):
            time.sleep(POLL)
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        why = _first_failure(cloudformation) or stack["StackStatus"]
    except (ClientError, BotoCoreError) as error:
        why = str(error)
    raise UpError(f"cannot make the resources of {TEMPLATE.name}: {why}")


def _describe_stack(cloudformation: Any) -> Json:
    stack: Json = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    return stack


def _first_failure(cloudformation: Any) -> str | None:
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    if not failed:
        return None
    first = min(failed, key=lambda event: event["Timestamp"])
    return f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', first['ResourceStatus'])}"

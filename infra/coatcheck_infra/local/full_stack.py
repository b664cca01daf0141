"""The full stack, `up --whole`: deploys the whole template in the emulator, with a front door and functions."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coatcheck_infra.local import api_gateway_proxy, lambda_door_proxy
from coatcheck_infra.local.code_cache import unpack
from coatcheck_infra.local.environment import MADE_UP, Credentials
from coatcheck_infra.local.gateway_responses import read_custom_responses
from coatcheck_infra.local.processes import ProcessSpec
from coatcheck_infra.local.request_validator import methods_with_credentials
from coatcheck_infra.local.resources import POLL, STACK, Json, client, deploy_stack
from coatcheck_infra.local.stack_context import PreparedStack, StackContext
from coatcheck_infra.local.up_error import UpError
from coatcheck_service.front_door import REST

CODE_BUCKET = "coatcheck-code"
TEMPLATE_KEY = "template.json"

BALANCER = {
    "LoadBalancerSubnets": "subnet-00000000,subnet-00000001",
    "LoadBalancerSecurityGroups": "sg-00000000",
    "LoadBalancerCertificate": "arn:aws:acm:us-east-1:000000000000:certificate/none",
}
"""What a load balancer needs, of which the emulator needs nothing."""

FUNCTION_LABELS = {
    "coatcheck_service.aws_lambda.handler": "api",
    "coatcheck_service.aws_admin_lambda.handler": "admin",
    "coatcheck_service.authorizer.handler": "authorizer",
    "coatcheck_worker.aws_lambda.run": "worker",
    "coatcheck_worker.aws_deliverer_lambda.deliver": "deliverer",
    "coatcheck_worker.aws_sweeper_lambda.sweep": "sweeper",
}
"""The label under which a function's output is shown, by its handler."""


@dataclass(frozen=True)
class StackClients:
    """Makes clients of the emulator at `url`."""

    url: str
    credentials: Credentials = MADE_UP

    def client(self, service: str) -> Any:
        return client(service, self.url, self.credentials)


async def prepare_full_stack(stack: StackContext) -> PreparedStack:
    """Build the zips, deploy the template, and return the process of the proxy to its front door.

    The proxy takes the place of a name of the owner's on AWS: clients need not know the API's id and stage.
    """
    build = ProcessSpec("build", (sys.executable, "-m", "coatcheck_infra.build", "--target", "local"), stack.env)
    zips = stack.project.root / "build" / "local"
    stack.write_line("building the zips of the Lambda functions")
    await stack.process_manager.run(build)
    await asyncio.to_thread(unpack, zips.glob("*.zip"), stack.home.code_cache)
    stack.write_line("deploying the template")
    aws = StackClients(stack.emulator.url, stack.emulator.credentials)
    parameters = {"PublicUrl": stack.url} | (BALANCER if BALANCER.keys() <= stack.template["Parameters"].keys() else {})
    outputs = await asyncio.to_thread(deploy_full_stack, aws, stack.template, zips, parameters)
    stack.emulator.log.function_labels = await asyncio.to_thread(function_labels, aws)
    await asyncio.to_thread(wait_for_snapshots, aws, stack.emulator.log.function_labels)
    if stack.front_door == REST.name:
        proxy, described = api_gateway_proxy.__name__, gateway_environment(stack.template, aws.url, outputs["ApiId"])
    else:
        proxy = lambda_door_proxy.__name__
        described = await asyncio.to_thread(door_environment, aws, stack.front_door)
    env = {**stack.env, **described}
    command = (sys.executable, "-m", "coatcheck_infra.local.serve", f"{proxy}:app", str(stack.listener))
    joining = {**stack.env, **await asyncio.to_thread(function_environment, aws)}
    return PreparedStack([ProcessSpec("gateway", command, env, (stack.listener,))], joining)


def gateway_environment(template: Mapping[str, Any], aws_endpoint_url: str, api_id: str) -> dict[str, str]:
    """Return what the proxy to API Gateway is told."""
    stage = template["Parameters"]["StageName"]["Default"]
    return {
        api_gateway_proxy.API_GATEWAY: f"{aws_endpoint_url}/restapis/{api_id}/{stage}/_user_request_",
        api_gateway_proxy.GATEWAY_RESPONSES: json.dumps(read_custom_responses(template)),
        api_gateway_proxy.METHODS_WITH_CREDENTIALS: json.dumps(methods_with_credentials(template)),
    }


def door_environment(aws: StackClients, door: str) -> dict[str, str]:
    """Return what the proxy of another door is told."""
    found = lambda_door_proxy.targets(aws.client, STACK, door)
    described = {"name": door} | {name: asdict(target) for name, target in found.items()}
    return {lambda_door_proxy.DOOR: json.dumps(described)}


def deploy_full_stack(
    aws: StackClients, local_template: Mapping[str, Any], zips: Path, parameters: dict[str, str]
) -> dict[str, str]:
    """Deploy the template with the zips in the folder `zips`. Returns the outputs of the stack.

    Raises `UpError` with CloudFormation's reason.
    """
    template: Json = copy.deepcopy(dict(local_template))
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET)
    for properties in function_properties(template):
        key = Path(properties["CodeUri"]).name
        s3.put_object(Bucket=CODE_BUCKET, Key=key, Body=(zips / key).read_bytes())
        properties["CodeUri"] = {"Bucket": CODE_BUCKET, "Key": key}
    # by URL: the template is too large for a request
    s3.put_object(Bucket=CODE_BUCKET, Key=TEMPLATE_KEY, Body=json.dumps(template))
    where = {"TemplateURL": f"{aws.url}/{CODE_BUCKET}/{TEMPLATE_KEY}"}
    return deploy_stack(aws.client("cloudformation"), where, parameters)


def function_properties(template: Json) -> Iterator[Json]:
    """Yield the properties of each function of `template`."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            yield resource["Properties"]


def function_labels(aws: StackClients) -> dict[str, str]:
    """Return the label of each deployed function, by the function's name."""
    listed: Any = aws.client("lambda").list_functions()["Functions"]
    return {one["FunctionName"]: FUNCTION_LABELS[one["Handler"]] for one in listed}


def function_environment(aws: StackClients) -> dict[str, str]:
    """Return the settings that the functions have, of all of them together."""
    listed: Any = aws.client("lambda").list_functions()["Functions"]
    return {name: value for one in listed for name, value in one["Environment"]["Variables"].items()}


def wait_for_snapshots(aws: StackClients, names: Iterable[str]) -> None:
    """Wait until the published versions of the functions `names` have been initialized, as a deploy on AWS does.

    Raises `UpError` with the reason if one cannot be initialized.
    """
    functions_api = aws.client("lambda")
    for name in names:
        for version in functions_api.list_versions_by_function(FunctionName=name)["Versions"]:
            which = {"FunctionName": name, "Qualifier": version["Version"]}
            while (now := functions_api.get_function_configuration(**which))["State"] == "Pending":
                time.sleep(POLL)
            if now["State"] == "Failed":
                raise UpError(f"the {FUNCTION_LABELS[now['Handler']]} function cannot start: {now.get('StateReason')}")

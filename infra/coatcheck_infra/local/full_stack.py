"""The full stack, `up --whole`: deploys the whole template in the emulator, with API Gateway and Lambda functions."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coatcheck_infra.local import api_gateway_proxy
from coatcheck_infra.local.code_cache import unpack
from coatcheck_infra.local.environment import MADE_UP, Credentials
from coatcheck_infra.local.gateway_responses import read_custom_responses
from coatcheck_infra.local.processes import ProcessSpec
from coatcheck_infra.local.request_validator import methods_with_credentials
from coatcheck_infra.local.resources import POLL, Json, client, deploy_stack
from coatcheck_infra.local.stack_context import PreparedStack, StackContext
from coatcheck_infra.local.up_error import UpError

CODE_BUCKET = "coatcheck-code"
TEMPLATE_KEY = "template.json"

FUNCTION_LABELS = {
    "coatcheck_service.aws_lambda.handler": "api",
    "coatcheck_service.aws_admin_lambda.handler": "admin",
    "coatcheck_service.authorizer.handler": "authorizer",
    "coatcheck_worker.aws_lambda.run": "worker",
    "coatcheck_worker.aws_lambda.deliver": "deliverer",
    "coatcheck_worker.aws_lambda.sweep": "sweeper",
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
    """Build the zips, deploy the template, and return the process of the proxy to its API Gateway.

    The proxy takes the place of a custom domain name on AWS: clients need not know the API's id and stage.
    """
    build = ProcessSpec("build", (sys.executable, "-m", "coatcheck_infra.build", "--target", "local"), stack.env)
    zips = stack.project.root / "build" / "local"
    stack.write_line("building the zips of the Lambda functions")
    await stack.process_manager.run(build)
    await asyncio.to_thread(unpack, zips.glob("*.zip"), stack.home.code_cache)
    stack.write_line("deploying the template")
    aws = StackClients(stack.emulator.url, stack.emulator.credentials)
    parameters = {"PublicUrl": stack.url}
    api = await asyncio.to_thread(deploy_full_stack, aws, stack.template, zips, parameters)
    stack.emulator.log.function_labels = await asyncio.to_thread(function_labels, aws)
    await asyncio.to_thread(wait_for_snapshots, aws, stack.emulator.log.function_labels)
    env = {
        **stack.env,
        api_gateway_proxy.API_GATEWAY: api,
        api_gateway_proxy.GATEWAY_RESPONSES: json.dumps(read_custom_responses(stack.template)),
        api_gateway_proxy.METHODS_WITH_CREDENTIALS: json.dumps(methods_with_credentials(stack.template)),
    }
    command = (
        sys.executable,
        "-m",
        "coatcheck_infra.local.serve",
        "coatcheck_infra.local.api_gateway_proxy:app",
        str(stack.listener),
    )
    joining = {**stack.env, **await asyncio.to_thread(function_environment, aws)}
    return PreparedStack([ProcessSpec("gateway", command, env, (stack.listener,))], joining)


def deploy_full_stack(
    aws: StackClients, local_template: Mapping[str, Any], zips: Path, parameters: dict[str, str]
) -> str:
    """Deploy the template with the zips in the folder `zips`. Returns the URL of its API in the emulator.

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
    outputs = deploy_stack(aws.client("cloudformation"), where, parameters)
    stage = template["Parameters"]["StageName"]["Default"]
    return f"{aws.url}/restapis/{outputs['ApiId']}/{stage}/_user_request_"


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

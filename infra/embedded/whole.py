"""The other way of running: the whole template in the emulator, API Gateway and Lambda functions and all."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from infra.embedded import door
from infra.embedded.failure import Failure
from infra.embedded.gateway import worded_in
from infra.embedded.ground import WEBHOOK_TARGETS, Ground, api_keys
from infra.embedded.processes import ROOT, Part
from infra.embedded.stack import POLL, Json, client, deploy
from infra.embedded.unpacked import unpack
from infra.template import read_template

ZIPS = ROOT / "build" / "local"
CODE_BUCKET = "coatcheck-code"
TEMPLATE_KEY = "template.json"

SPEAKERS = {
    "service.aws_lambda.handler": "api",
    "worker.aws_lambda.run": "worker",
    "worker.aws_lambda.deliver": "deliverer",
    "worker.aws_lambda.sweep": "sweeper",
}
"""The part in whose name a function's lines are shown, by its handler."""


async def whole_parts(ground: Ground) -> list[Part]:
    """Build the zips, deploy the template; the answer is the door that leads to its API Gateway.

    The door is what a custom domain name is on AWS: it knows the API's id and stage, and clients need not.
    """
    build = Part("build", (sys.executable, "-m", "infra.build", "--target", "local"), ground.env)
    ground.say("building the zips of the Lambda functions")
    await ground.processes.run(build)
    await asyncio.to_thread(unpack, ZIPS.glob("*.zip"), ground.home.unpacked)
    ground.say("deploying infra/template.yaml")
    parameters = {"ApiKeys": api_keys(ground.api_key), "PublicUrl": ground.url}
    api = await asyncio.to_thread(deploy_whole, ground.emulator.url, parameters)
    ground.emulator.log.speakers = await asyncio.to_thread(speakers, ground.emulator.url)
    await asyncio.to_thread(wait_for_snapshots, ground.emulator.url, ground.emulator.log.speakers)
    env = {**ground.env, door.API_GATEWAY: api, door.GATEWAY_RESPONSES: json.dumps(worded_in(read_template()))}
    command = (sys.executable, "-m", "infra.embedded.serve", "infra.embedded.door:app", str(ground.listener))
    return [Part("door", command, env, (ground.listener,))]


def deploy_whole(aws_endpoint_url: str, parameters: dict[str, str]) -> str:
    """Deploy the template with the zips in `ZIPS`; the answer is the URL of its API in the emulator.

    Raises `Failure` with CloudFormation's reason.
    """
    template = read_template()
    # https alone, and no address of this machine, is right for the internet; this is the loopback interface
    del template["Parameters"]["PublicUrl"]["AllowedPattern"]
    template["Globals"]["Function"]["Environment"]["Variables"] |= WEBHOOK_TARGETS
    s3 = client("s3", aws_endpoint_url)
    s3.create_bucket(Bucket=CODE_BUCKET)
    for properties in functions(template):
        key = Path(properties["CodeUri"]).name
        s3.put_object(Bucket=CODE_BUCKET, Key=key, Body=(ZIPS / key).read_bytes())
        properties["CodeUri"] = {"Bucket": CODE_BUCKET, "Key": key}
    # by URL: a template of this size is over what a request may carry
    s3.put_object(Bucket=CODE_BUCKET, Key=TEMPLATE_KEY, Body=json.dumps(template))
    where = {"TemplateURL": f"{aws_endpoint_url}/{CODE_BUCKET}/{TEMPLATE_KEY}"}
    outputs = deploy(client("cloudformation", aws_endpoint_url), where, parameters)
    stage = template["Parameters"]["StageName"]["Default"]
    return f"{aws_endpoint_url}/restapis/{outputs['ApiId']}/{stage}/_user_request_"


def functions(template: Json) -> Iterator[Json]:
    """The properties of each function of `template`."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            yield resource["Properties"]


def speakers(aws_endpoint_url: str) -> dict[str, str]:
    """The part in whose name each deployed function speaks, by the function's name."""
    listed: Any = client("lambda", aws_endpoint_url).list_functions()["Functions"]
    return {one["FunctionName"]: SPEAKERS[one["Handler"]] for one in listed}


def wait_for_snapshots(aws_endpoint_url: str, names: Iterable[str]) -> None:
    """Wait until the published versions of the functions `names` have been initialized, as a deploy on AWS does.

    Raises `Failure` with the reason where one cannot be.
    """
    functions_api = client("lambda", aws_endpoint_url)
    for name in names:
        for version in functions_api.list_versions_by_function(FunctionName=name)["Versions"]:
            which = {"FunctionName": name, "Qualifier": version["Version"]}
            while (now := functions_api.get_function_configuration(**which))["State"] == "Pending":
                time.sleep(POLL)
            if now["State"] == "Failed":
                raise Failure(f"the {SPEAKERS[now['Handler']]} function cannot start: {now.get('StateReason')}")

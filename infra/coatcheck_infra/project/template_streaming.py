"""What a project with `streaming = true` changes of the API in the template: uvicorn behind the Lambda Web Adapter."""

from __future__ import annotations

from typing import Any

from coatcheck_infra.project.config import ApiConfig, ProjectError
from coatcheck_service.front_door import FUNCTION_URL, REST

Json = dict[str, Any]

HANDLER = "coatcheck_service/lambda_web_adapter.sh"
"""The path in the zip of what the layer's /opt/bootstrap starts."""

ADAPTER: Json = {
    "Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:753240598075:layer:LambdaAdapterLayerArm64:30",
}
"""The layer of the adapter's version 1.1.0, as AWS publishes it for the partition `aws` alone.

https://github.com/aws/aws-lambda-web-adapter/blob/main/docs/guide/src/getting-started/zip-packages.md
"""

LONGEST_STREAM = 60
SECONDS = 90
"""How long a request may take: a stream, a slow reader after its end, and what is written then."""

VARIABLES: Json = {
    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
    "AWS_LWA_INVOKE_MODE": "response_stream",
    "AWS_LWA_PORT": "8080",
    "AWS_LWA_READINESS_CHECK_PATH": "/v1/health",
    "AWS_LWA_READINESS_CHECK_HEALTHY_STATUS": "200",
    # a service that cannot start is an error at once. Lambda itself waits ten seconds for a start
    "AWS_LWA_READINESS_CHECK_TIMEOUT_SECONDS": "9",
    # an authorizer's word would come in a header: the service finds out itself
    "COATCHECK_AUTHORIZER": "off",
    # a function serves one request at a time
    "COATCHECK_MAX_STREAMS": "1",
    "COATCHECK_LONGEST_STREAM": str(LONGEST_STREAM),
}

API_FUNCTION = "${ApiFunction.Alias}/invocations"
BUFFERED, STREAMED = "2015-03-31/functions", "2021-11-15/functions"
"""The versions of Lambda's API by which API Gateway invokes.

https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
"""


def check_streaming(config: ApiConfig) -> None:
    """Raise ProjectError if answers cannot stream with the rest of `config`."""
    where = "tool.coatcheck.api"
    if config.web_adapter is not None and not config.streaming:
        raise ProjectError(f"{where}: web-adapter is for streaming = true: add that, or remove web-adapter")
    if not config.streaming:
        return
    if not set(config.front_door.split("+")) <= {REST.name, FUNCTION_URL.name}:
        raise ProjectError(
            f"{where}: streaming is for a REST API and a function URL: a load balancer takes a function's answer in "
            'one piece. Remove streaming, and put the API into containers, which stream: services = ["api"] in '
            "[tool.coatcheck.containers]"
        )
    if config.iam != "none":
        raise ProjectError(
            f'{where}: iam = "{config.iam}" and streaming exclude each other: who has signed a request is not known '
            "behind the Lambda Web Adapter. Remove one of them"
        )


def render_streaming(template: Json, config: ApiConfig) -> None:
    """Change `template`, which has the project's front doors, if answers stream. Raises as `check_streaming` does."""
    check_streaming(config)
    if not config.streaming:
        return
    template["Parameters"]["Streaming"] |= {"Default": "on", "AllowedValues": ["on"]}
    resources = template["Resources"]
    function = resources["ApiFunction"]["Properties"]
    function |= {"Handler": HANDLER, "Layers": [config.web_adapter or ADAPTER], "Timeout": SECONDS}
    function["Environment"]["Variables"] |= VARIABLES
    near = SECONDS * 9 // 10
    resources["ApiNearTimeout"]["Properties"] |= {
        "AlarmDescription": f"A request took longer than {near} of the {SECONDS} seconds that the function has. "
        "docs/operate.md#near-a-time-limit",
        "Threshold": near * 1000,
    }
    if "Api" in resources:
        for path in resources["Api"]["Properties"]["DefinitionBody"]["paths"].values():
            for operation in path.values():
                _stream(operation["x-amazon-apigateway-integration"])
    if "FunctionUrl" in resources:
        resources["FunctionUrl"]["Properties"]["InvokeMode"] = "RESPONSE_STREAM"


def _stream(integration: Json) -> None:
    """Let API Gateway send on what the API's function answers as it comes. Operators' routes stay as they are."""
    uri = integration["uri"]["Fn::Sub"]
    if uri.endswith(API_FUNCTION):
        uri = uri.replace(BUFFERED, STREAMED).removesuffix("/invocations") + "/response-streaming-invocations"
        integration |= {
            "uri": {"Fn::Sub": uri},
            "responseTransferMode": "STREAM",
            "timeoutInMillis": SECONDS * 1000,
        }

"""What clients reach the API by, and which credentials are checked in front of it: what a project adds for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.project.config import ApiConfig, ProjectError
from coatcheck_infra.project.proxied_types import ProxiedType
from coatcheck_infra.project.template_cloudfront import check_cloudfront, render_cloudfront
from coatcheck_infra.project.template_doors import keep_urls_open, render_front_doors
from coatcheck_infra.project.template_service_proxy import allow_origin, check_service_proxy, render_service_proxy
from coatcheck_infra.project.template_streaming import check_streaming, render_streaming
from coatcheck_infra.template import TEMPLATE
from coatcheck_service.front_door import REST

Json = dict[str, Any]

AUTHORIZER = TEMPLATE.with_name("authorizer.yaml")

CREDENTIALS = "x-coatcheck-credentials"
"""The member of an operation in template.yaml that says whether its requests `submit`, do something `else`, or are an
`operator`'s. Those have keys alone, which the operators' function knows, and the authorizer does not."""

TAKES_IAM: dict[str, set[str]] = {"none": set(), "submit": {"submit"}, "all": {"submit", "else"}}
"""The operations that take AWS signatures, by the value of `iam`."""

IAM_SCHEME: Json = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "x-amazon-apigateway-authtype": "awsSigv4",
}


def render_api(template: Json, config: ApiConfig, proxied: Sequence[ProxiedType] = ()) -> Json:
    """Return `template`, changed, with the doors of `config`, the origins of pages, and what authenticates in front.

    `proxied` are the job types of `service-proxy`.

    Raises ProjectError where nothing could.
    """
    _check_authentication(config)
    check_streaming(config)
    check_cloudfront(config)
    check_service_proxy(config)
    properties = template["Resources"]["Api"]["Properties"]
    schemes: Json = {}
    takes_iam = TAKES_IAM[config.iam]
    if takes_iam:
        schemes["iam"] = IAM_SCHEME
    if config.authorizer:
        added = yaml_parse(AUTHORIZER.read_text())
        schemes["bearer"] = added["Scheme"]
        properties["GatewayResponses"] |= added["GatewayResponses"]
        template["Resources"] |= added["Resources"]
        api = template["Resources"]["ApiFunction"]["Properties"]
        api["Environment"]["Variables"]["COATCHECK_AUTHORIZER"] = "on"
    for kind, operation in _operations(properties["DefinitionBody"]):
        if kind in takes_iam:
            # a signature may be in the query as well, so no header is asked for
            del operation["parameters"], operation["x-amazon-apigateway-request-validator"]
            operation["security"] = [{"iam": []}]
        elif config.authorizer and kind != "operator":
            operation["security"] = [{"bearer": []}]
    if schemes:
        properties["DefinitionBody"]["components"] = {"securitySchemes": schemes}
    template = render_service_proxy(template, proxied)
    if config.cors_origins:
        _render_origins(template, config.cors_origins)
    rendered = render_front_doors(template, config.front_door)
    render_streaming(rendered, config)
    render_cloudfront(rendered, config)
    if "FunctionUrl" in rendered["Resources"] and (config.streaming or config.cloudfront):
        # a signature would take the header that keys are in, and nobody would be known by it
        keep_urls_open(rendered)
    return rendered


def _check_authentication(config: ApiConfig) -> None:
    if REST.name in config.front_door.split("+"):
        return
    for key, asked in (("authorizer", config.authorizer), ("iam", config.iam != "none")):
        if asked:
            raise ProjectError(
                f"tool.coatcheck.api: {key} is for a REST API, and front-door is {config.front_door}: "
                f"remove {key}, or set front-door to rest+{config.front_door}"
            )


def _render_origins(template: Json, origins: list[str]) -> None:
    for function in ("ApiFunction", "AdminFunction"):
        variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
        variables["COATCHECK_CORS_ORIGINS"] = ",".join(origins)
    # it can name one origin alone, and what API Gateway itself answers is nobody's secret
    allowed = origins[0] if len(origins) == 1 else "*"
    api = template["Resources"]["Api"]["Properties"]
    for response in api["GatewayResponses"].values():
        response["ResponseParameters"]["Headers"]["Access-Control-Allow-Origin"] = f"'{allowed}'"
    allow_origin(api["DefinitionBody"], allowed)


def _operations(body: Json) -> Iterator[tuple[str, Json]]:
    """Yield the operations that need credentials, with their kind, which is taken out of them."""
    for path in body["paths"].values():
        for operation in path.values():
            if CREDENTIALS in operation:
                yield operation.pop(CREDENTIALS), operation

"""Which credentials the API's methods take in front of the API: what a project adds to the template for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.project.config import ApiConfig
from coatcheck_infra.template import TEMPLATE

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


def render_api(template: Json, config: ApiConfig) -> Json:
    """Return `template`, changed, with the authorizer of `config` and its methods that take AWS signatures."""
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
    return template


def _operations(body: Json) -> Iterator[tuple[str, Json]]:
    """Yield the operations that need credentials, with their kind, which is taken out of them."""
    for path in body["paths"].values():
        for operation in path.values():
            if CREDENTIALS in operation:
                yield operation.pop(CREDENTIALS), operation

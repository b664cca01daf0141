"""The REST API's routes in template.yaml, made from the OpenAPI: `python -m coatcheck_infra.build.template_routes`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from coatcheck.core.api_keys import Scope
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck_infra.project import template_api
from coatcheck_infra.template import TEMPLATE
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.app import create_app
from coatcheck_service.front_door import LAMBDA
from coatcheck_service.http.scopes import OPERATOR_SCOPES_OF, SCOPES

BEGIN = "          # made by `python -m coatcheck_infra.build.template_routes` from the service's own OpenAPI\n"
END = "          # end of what `python -m coatcheck_infra.build.template_routes` makes\n"

ADMIN_PREFIX = "/v1/admin/"

URI = "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{function}}}/invocations"
# API Gateway waits 29 s for an integration, the most it allows without a raised quota
INTEGRATION = """\
              responses: {{}}
              x-amazon-apigateway-integration:
                {{type: aws_proxy, httpMethod: POST, timeoutInMillis: 29000, uri: !Sub "{uri}"}}
"""
# a request validator finds a header that is missing or blank, before any function is invoked
CREDENTIALS = f"""\
              {template_api.CREDENTIALS}: {{kind}}
              parameters: [{{{{name: Authorization, in: header, required: true, schema: {{{{type: string}}}}}}}}]
              x-amazon-apigateway-request-validator: credentials
"""

Operations = Mapping[str, Mapping[str, str | None]]
"""By path and method, what an operation does with credentials: `submit`, something `else`, or what only an `operator`
may; None if it needs none."""


def service() -> FastAPI:
    """Build the service as it is behind API Gateway, only to list its routes: its AWS resources do not exist."""
    queues = json.dumps({WEBHOOKS: "nowhere"})
    stores = {"table": "none", "bucket": "none", "queues": queues, "dead_letters": queues, "webhook_key": "none"}
    settings = Settings.model_validate(stores)
    return create_app(settings, {}, AioBotoTransport(), LAMBDA)


def list_operations(app: FastAPI) -> Operations:
    """Return every path of the app with its methods in lower case: those of its OpenAPI document, and the pages.

    The pages (/, /openapi.json, /docs) are the routes that the app keeps out of its schema. HEAD is added to each GET,
    and OPTIONS to every path: API Gateway forwards only the methods that are listed.
    """
    found: dict[str, dict[str, str | None]] = {
        path: {verb: kind_of(operation) for verb, operation in operations.items()}
        for path, operations in app.openapi()["paths"].items()
    }
    for route in app.state.routes:
        if isinstance(route, Route) and not route.include_in_schema:
            pages = found.setdefault(route.path, {})
            pages.update({verb.lower(): None for verb in route.methods or () if verb.lower() not in pages})
    for verbs in found.values():
        # a preflight request has no credentials
        verbs.update({"options": None} | ({"head": verbs["get"]} if "get" in verbs else {}))
    return {path: dict(sorted(found[path].items())) for path in sorted(found)}


def kind_of(operation: Mapping[str, Any]) -> str | None:
    """Return the kind of an operation of the OpenAPI document."""
    if not operation.get("security"):
        return None
    if operation["operationId"] in OPERATOR_SCOPES_OF:
        return "operator"
    return "submit" if SCOPES[operation["operationId"]] == Scope.JOBS_SUBMIT else "else"


def render_routes(paths: Operations) -> str:
    """Return the YAML of those paths, indented as in the template."""
    return "".join(
        f"          {path}:\n" + "".join(render_operation(path, verb, kind) for verb, kind in verbs.items())
        for path, verbs in paths.items()
    )


def render_operation(path: str, verb: str, kind: str | None) -> str:
    """Return the YAML of one operation. Those of operators have a function of their own."""
    function = "AdminFunction.Arn" if path.startswith(ADMIN_PREFIX) else "ApiFunction.Alias"
    integration = INTEGRATION.format(uri=URI.format(function=function))
    return f"            {verb}:\n{CREDENTIALS.format(kind=kind) if kind else ''}{integration}"


def splice_routes(template: str, routes: str) -> str:
    """Return the template with `routes` between its two markers. Raises ValueError unless each occurs exactly once."""
    if template.count(BEGIN) != 1 or template.count(END) != 1:
        raise ValueError(f"must contain each of these two lines once:\n{BEGIN}{END}")
    head, rest = template.split(BEGIN)
    return head + BEGIN + routes + END + rest.split(END)[1]


def main() -> str | None:
    """Write the routes, or with --check only check that they are up to date. Returns one line on what is wrong."""
    arguments = argparse.ArgumentParser(prog="python -m coatcheck_infra.build.template_routes", description=__doc__)
    arguments.add_argument("--check", action="store_true", help="change nothing; fail if the template is stale")
    check = arguments.parse_args().check
    template = TEMPLATE.read_text()
    try:
        wanted = splice_routes(template, render_routes(list_operations(service())))
    except ValueError as wrong:
        return f"{TEMPLATE.name}: {wrong}"
    if template == wanted:
        return None
    if check:
        return f"{TEMPLATE.name}: its routes differ from those of the service; run: make routes"
    TEMPLATE.write_text(wanted)
    return None


if __name__ == "__main__":
    sys.exit(main())

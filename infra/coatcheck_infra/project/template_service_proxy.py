"""The service proxy in the template of a project: API Gateway makes the jobs of some types by itself (docs/adr/0163).

A row and an answer are those of the service: one job of each type is made here, and what differs from job to job is
replaced by references of the mapping templates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck.core import due
from coatcheck.core.api.models import MAX_LABEL_NAME_LENGTH
from coatcheck.core.api.views import job_view
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.item_size import GROWTH_BYTES, HOT_ROW_BYTES, item_size
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item
from coatcheck.core.aws.dynamodb.proxied_rows import REQUEST
from coatcheck.core.clock import milliseconds, rfc3339
from coatcheck.core.ids import KEY_PREFIX, PLAIN_KEY
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import SUBMIT
from coatcheck_infra.project.config import ApiConfig, ProjectError
from coatcheck_infra.project.proxied_types import ProxiedType
from coatcheck_infra.template import TEMPLATE
from coatcheck_service.front_door import REST

Json = dict[str, Any]

FOLDER = TEMPLATE.parent / "service_proxy"
PATH = "/v1/proxy/{}"
"""Where jobs of a type are submitted. Clients are led from there to `../jobs`."""

FUNCTIONS = ("ApiFunction", "AuthorizerFunction")
"""What has to know that there is a proxy."""

_NOW, _DUE, _RETENTION = 10**12 + 1, 10**12 + 2, 10**12 + 3
"""Numbers that stand for others in the job that is made here, and are found in no other place of it."""

_BASE, _LABELS = "https://base.invalid", {"labels": "labels"}

_ROW: Mapping[str, str] = {"tenant": "${tenant}", "id": "${id}", "shard": "due-${shard}", "body": "${body}"}
"""References in the place of what differs from row to row."""


def check_service_proxy(config: ApiConfig) -> None:
    """Raise ProjectError where there can be no service proxy."""
    if not config.service_proxy:
        return
    wrong = {
        f"is for a REST API, and front-door is {config.front_door}": REST.name not in config.front_door.split("+"),
        "needs authorizer = true, which tells API Gateway whose a job is": not config.authorizer,
        f"leads clients to POST /v1/jobs with their bearer tokens, and iam is {config.iam}": config.iam != "none",
    }
    for problem, is_wrong in wrong.items():
        if is_wrong:
            raise ProjectError(f"tool.coatcheck.api: service-proxy {problem}")


def render_service_proxy(template: Json, types: Sequence[ProxiedType]) -> Json:
    """Return `template`, which has an authorizer, changed, with a path for each of these types."""
    if not types:
        return template
    added = yaml_parse((FOLDER / "service-proxy.yaml").read_text())
    for section in ("Conditions", "Resources"):
        template[section] |= added[section]
    api = template["Resources"]["Api"]["Properties"]
    api["Variables"] = added["Variables"]
    api["GatewayResponses"] |= added["GatewayResponses"]
    body = api["DefinitionBody"]
    body["x-amazon-apigateway-request-validators"]["body"] = {
        "validateRequestParameters": False,
        "validateRequestBody": True,
    }
    schemas = body["components"].setdefault("schemas", {})
    for number, one in enumerate(types, start=1):
        schemas[f"Submit{number}"] = one.model
        body["paths"][PATH.format(one.name)] = _operations(f"Submit{number}", one)
    template["Resources"]["Table"]["Properties"]["StreamSpecification"] = {"StreamViewType": "NEW_IMAGE"}
    policy = template["Resources"]["AuthorizerRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    policy["Statement"].append(added["AuthorizerReads"])
    for function in FUNCTIONS:
        properties = template["Resources"][function]["Properties"]
        variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
        variables["COATCHECK_SERVICE_PROXY"] = "on"
    return template


def _operations(model: str, one: ProxiedType) -> Json:
    # read anew for each type: an alias of YAML is one object
    operations: Json = yaml_parse((FOLDER / "service-proxy.yaml").read_text())["Operations"]
    post = operations["post"]
    post["requestBody"]["content"]["application/json"]["schema"] = {"$ref": f"#/components/schemas/{model}"}
    integration = post["x-amazon-apigateway-integration"]
    integration["requestTemplates"] = {"application/json": request_template(one)}
    integration["responses"]["200"]["responseTemplates"] = {"application/json": response_template(one)}
    return operations


def allow_origin(body: Json, origin: str) -> None:
    """Let pages of the origin, or of all if it is `*`, read what API Gateway answers to the submits of an API."""
    for path in body["paths"].values():
        integration = path.get("post", {}).get("x-amazon-apigateway-integration", {})
        for response in integration.get("responses", {}).values():
            response["responseParameters"] |= {
                "method.response.header.Access-Control-Allow-Origin": f"'{origin}'",
                "method.response.header.Access-Control-Expose-Headers": "'*'",
            }


def request_template(one: ProxiedType) -> str:
    """Return the mapping template that makes the row of a job of this type."""
    row = _row(one)
    key = {name: row.pop(name) for name in ("pk", "sk")}
    update = {
        "TableName": "${stageVariables.table}",
        "Key": key,
        # a row that is there, whatever it is, is for the service to look at
        "ConditionExpression": "attribute_not_exists(pk)",
        "UpdateExpression": "SET " + ", ".join(f"#a{number} = :v{number}" for number in range(len(row))),
        "ExpressionAttributeNames": {f"#a{number}": name for number, name in enumerate(row)},
        "ExpressionAttributeValues": {f":v{number}": value for number, value in enumerate(row.values())},
        "ReturnValues": "ALL_NEW",
    }
    return _filled(
        "request.vtl",
        {
            "PLAIN_KEY": PLAIN_KEY.pattern,
            "KEY_PREFIX": KEY_PREFIX,
            "ROOM": str(HOT_ROW_BYTES - GROWTH_BYTES - _size_but_for_names(one)),
            "TYPE": one.name,
            "LABEL_NAME": str(MAX_LABEL_NAME_LENGTH),
            "GRACE": str(due.DISPATCH_GRACE),
            "STEP": str(due.STEP),
            "UPDATE": json.dumps(update)
            .replace(f"{_NOW}", "${now}")
            .replace(f"{_DUE}", "${due}")
            .replace(f"{_RETENTION}", "${stageVariables.retention}000"),
        },
    )


def response_template(one: ProxiedType) -> str:
    """Return the mapping template that makes the answer to a submit of this type."""
    view = job_view(_job(one, labels=_LABELS), (), _BASE).model_dump_json()
    references = {
        json.dumps(_LABELS, separators=(",", ":")): _filled("labels.vtl", {}).rstrip(),
        _BASE: "${base}",
        rfc3339(_NOW): "${at}",
    }
    for stand_in, reference in references.items():
        view = view.replace(stand_in, reference)
    lines = _filled("response.vtl", {"VIEW": view}).splitlines()
    # the answer is to be that of the service, without a line end of the template
    return "".join(line for line in lines if not line.startswith("##"))


def _filled(file: str, values: Mapping[str, str]) -> str:
    """The text of a file with `@NAME@` replaced by what `values` has under that name."""
    text = (FOLDER / file).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _job(one: ProxiedType, *, labels: Mapping[str, str] | None = None) -> Job:
    """A job of the type as a submit makes it, with stand-ins for what differs from one to another."""
    assert SUBMIT.target is not None
    assert SUBMIT.event is not None
    return Job(
        tenant=_ROW["tenant"],
        id=_ROW["id"],
        type=one.name,
        lane=one.lane,
        status=SUBMIT.target,
        version=1,
        created_at=_NOW,
        updated_at=_NOW,
        attempt=0,
        max_attempts=one.max_attempts,
        timeout=milliseconds(one.timeout),
        retention=_RETENTION,
        digest=b"",
        input=Blob.of(b"", JSON),
        due_at=_DUE,
        due_shard=_ROW["shard"],
        history=(JobEvent(SUBMIT.event, _NOW),),
        metadata=labels or {},
    )


def _row(one: ProxiedType) -> Item:
    """The row of such a job, with the request in place of what follows from it."""
    row = encode_job(_job(one))
    del row["input"], row["digest"]
    return {**row, REQUEST: {"B": _ROW["body"]}}


def _size_but_for_names(one: ProxiedType) -> int:
    """The bytes of a row with an empty request, but for its tenant, twice, and its id."""
    row = _row(one)
    bare: dict[str, AttributeValue] = {"pk": {"S": "#"}, "tenant": {"S": ""}, "due_shard": {"S": "due-255"}}
    return item_size({**row, **bare, REQUEST: {"B": b""}})

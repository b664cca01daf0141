"""API Gateway with a service proxy, in front of the emulator's DynamoDB: what the template says, done as documented."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from jsonschema import Draft4Validator  # type: ignore[import-untyped]

from coatcheck.core.clock import SECOND
from coatcheck.core.settings import Settings
from coatcheck_infra.local import environment
from coatcheck_infra.project.config import ProjectConfig
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.project.proxied_types import ProxiedType
from coatcheck_infra.project.template_service_proxy import PATH
from coatcheck_infra.template import read_template
from tests.mapping_templates import MappingTemplates

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    text: str


def project_with_proxy(*types: ProxiedType, **api: Any) -> Json:
    """The template of a project that has these types behind the service proxy."""
    asked = {"authorizer": True, "service-proxy": [one.name for one in types], **api}
    config = ProjectConfig.model_validate({"jobs": ["jobs.any"], "api": asked})
    return render_template(read_template(), config, proxied=types)


def stage_variables(settings: Settings, public_url: str) -> dict[str, str]:
    """What the template makes of its parameters for the stage of the API."""
    return {
        "table": settings.table,
        "publicUrl": public_url,
        "dueShards": str(settings.due_shards),
        "retention": str(settings.default_retention),
    }


@dataclass(frozen=True)
class ProxiedPath:
    """POST of one path of the API. Bodies come to the mapping templates in base64, as those of binary types do."""

    template: Json
    proxied: ProxiedType
    templates: MappingTemplates
    endpoint_url: str
    variables: Mapping[str, str]
    clock: Callable[[], int]

    @property
    def path(self) -> str:
        """The path."""
        return PATH.format(self.proxied.name)

    @property
    def api(self) -> Json:
        """The API's properties."""
        found: Json = self.template["Resources"]["Api"]["Properties"]
        return found

    @property
    def operation(self) -> Json:
        """POST of the path."""
        found: Json = self.api["DefinitionBody"]["paths"][self.path]["post"]
        return found

    def post(self, body: bytes, headers: Mapping[str, str], verdict: Mapping[str, Any], *, request_id: str) -> Answer:
        """Send a submit, for which the authorizer has said `verdict`."""
        if headers.get("Content-Type") != "application/json":
            return self._gateway_response("UNSUPPORTED_MEDIA_TYPE")
        if not self._fits_model(body):
            return self._gateway_response("BAD_REQUEST_BODY")
        now = self.clock()
        moment = datetime.fromtimestamp(now / SECOND, UTC)
        variables = {
            "headers": dict(headers),
            "context": {
                "authorizer": {name: str(value) for name, value in verdict.items()},
                "requestId": request_id,
                "requestTime": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "requestTimeEpoch": now,
                "domainName": "abc.execute-api.us-east-1.amazonaws.com",
                "path": f"/live{self.path}",
            },
            "stageVariables": dict(self.variables),
        }
        integration = self.operation["x-amazon-apigateway-integration"]
        request = self.templates.render(
            integration["requestTemplates"]["application/json"], body=base64.b64encode(body).decode(), **variables
        )
        action = integration["uri"]["Fn::Sub"].rpartition("/")[2]
        status, made = self.dynamodb(action, request.text)
        chosen = next((one for code, one in integration["responses"].items() if re.fullmatch(code, str(status))), None)
        response = chosen or integration["responses"]["default"]
        encoded = base64.b64encode(made.encode()).decode()
        rendered = self.templates.render(response["responseTemplates"]["application/json"], body=encoded, **variables)
        mapped = {name.rpartition(".")[2]: value for name, value in response["responseParameters"].items()}
        set_here = {name: request_id if value == "context.requestId" else value[1:-1] for name, value in mapped.items()}
        sent = {"Content-Type": "application/json", **set_here, **rendered.headers}
        return Answer(int(response["statusCode"]), httpx.Headers(sent), rendered.text)

    def dynamodb(self, action: str, request: str) -> tuple[int, str]:
        """Send DynamoDB what API Gateway sends; API Gateway signs it, and the emulator checks no signature."""
        credential = f"{environment.ACCESS_KEY}/20260101/{environment.REGION}/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{action}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
        }
        answer = httpx.post(self.endpoint_url, content=request.encode(), headers=headers, trust_env=False, timeout=60)
        return answer.status_code, answer.text

    def _fits_model(self, body: bytes) -> bool:
        schema = self.operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        model = self.api["DefinitionBody"]["components"]["schemas"][schema.rpartition("/")[2]]
        try:
            return bool(Draft4Validator(model).is_valid(json.loads(body)))
        except ValueError:
            return False

    def _gateway_response(self, kind: str) -> Answer:
        response = self.api["GatewayResponses"][kind]
        headers = {name: value[1:-1] for name, value in response["ResponseParameters"]["Headers"].items()}
        return Answer(response["StatusCode"], httpx.Headers(headers), response["ResponseTemplates"]["application/json"])

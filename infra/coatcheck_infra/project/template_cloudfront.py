"""What a project with `cloudfront = true` adds to the template: CloudFront, and a secret that proves it."""

from __future__ import annotations

from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.project.config import ApiConfig, ProjectError
from coatcheck_infra.template import TEMPLATE
from coatcheck_service.front_door import FUNCTION_URL

Json = dict[str, Any]

CLOUDFRONT = TEMPLATE.parent / "front_doors" / "cloudfront.yaml"
SECTIONS = ("Parameters", "Rules", "Conditions", "Resources", "Outputs")


def check_cloudfront(config: ApiConfig) -> None:
    """Raise ProjectError if CloudFront cannot be in front of the doors of `config`."""
    if config.cloudfront and config.front_door != FUNCTION_URL.name:
        raise ProjectError(
            f'tool.coatcheck.api: cloudfront is for front-door = "{FUNCTION_URL.name}", and it is '
            f'"{config.front_door}": a REST API and a load balancer have names and firewalls of their own'
        )


def render_cloudfront(template: Json, config: ApiConfig) -> None:
    """Change `template`, which has the function URL, if CloudFront is in front of it."""
    if not config.cloudfront:
        return
    added = yaml_parse(CLOUDFRONT.read_text())
    for section in SECTIONS:
        template[section] = template.get(section, {}) | added.get(section, {})
    template["Outputs"]["ApiUrl"]["Value"] = added["ApiUrl"]
    # operators come by the same name
    template["Outputs"]["AdminUrl"]["Value"] = added["ApiUrl"]
    for function in ("ApiFunction", "AdminFunction"):
        variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
        variables["COATCHECK_ORIGIN_SECRET"] = {"Ref": "OriginSecret"}

"""The front doors of a project in the template, which has a REST API.

What another door needs is in a file of its own, and in the template of a project that has this door alone:
CloudFormation refuses a template with a type that a region lacks, whatever its conditions say (docs/adr/0141).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.template import TEMPLATE
from coatcheck_service.front_door import ALB, FUNCTION_URL, REST

Json = dict[str, Any]

ADDED = {door.name: TEMPLATE.parent / "front_doors" / f"{door.name}.yaml" for door in (FUNCTION_URL, ALB)}
"""What each door besides a REST API adds: a file of sections to merge, its `Hosts`, and its `ApiUrl`."""

SECTIONS = ("Parameters", "Rules", "Conditions", "Resources", "Outputs")

OPEN = "HasOpenFunctionUrl"
"""The condition of what a function URL has that takes keys."""

OF_REST: Mapping[str, Sequence[str]] = {
    "Parameters": ("StageName", "AccessLogs", "RequestsPerSecond", "RequestBurst"),
    "Conditions": ("LogsAccess",),
    "Resources": ("Api", "ApiMayInvoke", "AdminMayInvoke", "AccessLog", "ApiFails"),
    "Outputs": ("ApiId",),
}
"""What the template has for the REST API alone, by section."""


def render_front_doors(template: Json, front_door: str) -> Json:
    """Return `template`, changed, with these doors: one of them, or `rest` and another with a plus between."""
    names = front_door.split("+")
    template["Parameters"]["FrontDoor"] |= {"Default": front_door, "AllowedValues": [front_door]}
    refused = template["Resources"]["Deliverer"]["Properties"]["Environment"]["Variables"]
    hosts = [refused["COATCHECK_WEBHOOK_REFUSED"]] if REST.name in names else []
    if REST.name not in names:
        _remove_rest(template)
    for name in names:
        if name not in ADDED:
            continue
        added = yaml_parse(ADDED[name].read_text())
        for section in SECTIONS:
            template[section] = template.get(section, {}) | added.get(section, {})
        hosts += added["Hosts"]
        if REST.name not in names:
            template["Outputs"]["ApiUrl"]["Value"] = added["ApiUrl"]
    refused["COATCHECK_WEBHOOK_REFUSED"] = hosts[0] if len(hosts) == 1 else {"Fn::Join": [",", hosts]}
    return {section: value for section, value in template.items() if value}


def keep_urls_open(template: Json) -> None:
    """Let the function URLs of `template` take keys and tokens, without a choice: no AWS signatures."""
    resources = template["Resources"]
    del template["Parameters"]["FunctionUrlAuth"]
    del template["Conditions"][OPEN]
    resources["FunctionUrl"]["Properties"]["AuthType"] = "NONE"
    for section in ("Resources", "Outputs"):
        for one in template[section].values():
            if one.get("Condition") == OPEN:
                del one["Condition"]
    refused = resources["Deliverer"]["Properties"]["Environment"]["Variables"]
    refused["COATCHECK_WEBHOOK_REFUSED"] = _opened(refused["COATCHECK_WEBHOOK_REFUSED"])


def _opened(value: Any) -> Any:
    match value:
        case {"Fn::If": [str(condition), then, _]} if condition == OPEN:
            return then
        case dict():
            return {key: _opened(inner) for key, inner in value.items()}
        case list():
            return [_opened(inner) for inner in value]
    return value


def _remove_rest(template: Json) -> None:
    for section, names in OF_REST.items():
        for name in names:
            del template[section][name]
    del template["Globals"]["Api"]

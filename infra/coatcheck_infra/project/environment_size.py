"""How much of a Lambda function's 4 KB its environment variables take, at most."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

MAX_ENVIRONMENT = 4096
"""Bytes. Lambda measures all variables as one JSON object ("String measured: {...}" of its error)."""

LONGEST_PARAMETERS = {"ExistingTable": 255, "ExistingBucket": 63, "ExistingWebhookKey": 160}
"""Characters of the values of parameters that do not declare the most they may have."""

LONGEST_NAMES = {
    # https://sqs. region .amazonaws.com.cn/ account / name
    "AWS::SQS::Queue": 12 + 14 + 18 + 13 + 80,
    "AWS::DynamoDB::Table": 160,
    "AWS::S3::Bucket": 63,
    "AWS::SecretsManager::Secret": 100,
    "AWS::Serverless::Api": 10,
}
"""Characters of what `!Ref` gives, at most."""

LONGEST_OTHER = 20
"""Characters of a region, of a domain and the like."""


def environment_size(template: Json, function: Json) -> int:
    """Return the most bytes that the variables of a function of the template can take."""
    common = template.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
    variables = {**common, **function.get("Environment", {}).get("Variables", {})}
    return len(json.dumps({name: longest(value, template) for name, value in variables.items()}).encode())


def longest(value: Any, template: Json) -> str:
    """Return a text as long as the longest that CloudFormation can make of the value."""
    match value:
        case {"Ref": str(name)}:
            return "x" * _longest_name(name, template)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([\w:]+)\}", lambda found: "x" * _longest_name(found[1], template), text)
        case {"Fn::FindInMap": [str(mapping), _, str(key)]}:
            return _longest(str(row[key]) for row in template["Mappings"][mapping].values())
        case {"Fn::If": [_, *branches]}:
            return _longest(longest(one, template) for one in branches)
    return str(value)


def _longest_name(name: str, template: Json) -> int:
    parameter: Mapping[str, Any] | None = template["Parameters"].get(name)
    if parameter is None:
        kind = template["Resources"].get(name, {}).get("Type")
        return LONGEST_NAMES.get(kind, LONGEST_OTHER)
    if name in LONGEST_PARAMETERS:
        return LONGEST_PARAMETERS[name]
    values = parameter.get("AllowedValues") or [parameter.get("MaxValue", parameter["Default"])]
    return int(parameter.get("MaxLength", max(len(str(one)) for one in values)))


def _longest(texts: Iterable[str]) -> str:
    return max(texts, key=len)

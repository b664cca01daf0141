"""The parameters of the template: which values CloudFormation would refuse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from coatcheck.core.suggestions import unknown

RETIRED: Mapping[str, str] = MappingProxyType(
    {"ApiKeys": "API keys are in the table: use `coatcheck keys create` and `coatcheck keys import` (docs/keys.md)"}
)
"""What to do instead of setting a parameter that earlier versions had."""


def unknown_parameter(name: str, declared: Iterable[str]) -> str:
    """Return why a parameter that the template does not declare cannot be set."""
    if name in RETIRED:
        return f"{name} is a parameter no longer; {RETIRED[name]}"
    return unknown("parameter", name, declared, see="see docs/deploy.md")


def parameter_error(declared: Mapping[str, Any], value: str) -> str | None:
    """Return why CloudFormation would refuse a parameter's value, or None. This runs before anything is uploaded."""
    allowed = [str(one) for one in declared.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return str(declared.get("ConstraintDescription", f"must be one of {', '.join(allowed)}"))
    if declared["Type"] == "Number":
        least, most = declared.get("MinValue", 0), declared.get("MaxValue", 2**31)
        in_range = value.isdecimal() and least <= int(value) <= most
        return None if in_range else f"must be a number from {least} to {most}"
    if re.fullmatch(declared.get("AllowedPattern", ".*"), value) is None:
        return str(declared.get("ConstraintDescription", f"does not match {declared['AllowedPattern']}"))
    return None

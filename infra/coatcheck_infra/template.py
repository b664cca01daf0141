"""The template as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

TEMPLATE = Path(__file__).with_name("template.yaml")


def read_template() -> dict[str, Any]:
    """infra/coatcheck_infra/template.yaml as it stands, `!Ref` and its like in their long form."""
    template: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return template

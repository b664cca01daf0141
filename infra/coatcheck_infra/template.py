"""The template as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

TEMPLATE = Path(__file__).with_name("template.yaml")


def read_template() -> dict[str, Any]:
    """Read infra/coatcheck_infra/template.yaml, with `!Ref` and the like in their long form."""
    template: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return template

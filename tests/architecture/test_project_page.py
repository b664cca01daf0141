"""docs/project.md has each setting of a project, and nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from coatcheck_infra.project.config import (
    ApiConfig,
    ContainersConfig,
    DeployConfig,
    HandlersConfig,
    LocalConfig,
    ProjectConfig,
    TracesConfig,
    Vpc,
    find_project,
)
from coatcheck_infra.project.iam_statements import GUARDED, check_statement
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.project_template import project_template
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "project.md").read_text()
SECTIONS: dict[str, type[BaseModel]] = {
    "[tool.coatcheck]": ProjectConfig,
    "[tool.coatcheck.lanes]": Lane,
    "[tool.coatcheck.handlers]": HandlersConfig,
    "[tool.coatcheck.api]": ApiConfig,
    "[tool.coatcheck.deploy]": DeployConfig,
    "[tool.coatcheck.containers]": ContainersConfig,
    "[tool.coatcheck.traces]": TracesConfig,
    "[tool.coatcheck.local]": LocalConfig,
}


def keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize("section", SECTIONS)
def test_each_key_of_a_table_is_described(section: str) -> None:
    text = PAGE.split(f"\n## `{section}`\n")[1].split("\n## ")[0]
    described = set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE))
    inside = {f"vpc.{key}" for key in keys(Vpc)} if section.endswith("handlers]") else set()
    assert described == keys(SECTIONS[section]) | inside


def test_the_example_of_the_page_is_a_project_that_uses_every_key(tmp_path: Path) -> None:
    example = PAGE.split("```toml\n")[1].split("```")[0]
    (tmp_path / "pyproject.toml").write_text(example)
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "policies.json").write_text(PAGE.split("```json\n")[1].split("```")[0])
    project = find_project(tmp_path)
    assert project_template(project)["Resources"].keys() >= {"GpuLargeWorker", "HandlerPolicy"}
    given = tomllib.loads(example)["tool"]["coatcheck"]
    assert given.keys() == keys(ProjectConfig)
    for name in ("handlers", "deploy", "local"):
        assert given[name].keys() == keys(SECTIONS[f"[tool.coatcheck.{name}]"])


def test_the_statements_of_the_page_keep_to_the_rule() -> None:
    for statement in json.loads(PAGE.split("```json\n")[1].split("```")[0]):
        check_statement(statement, "words")


def test_each_guarded_service_is_named() -> None:
    names = {"events": "EventBridge", "execute-api": "API Gateway", "apigateway": "API Gateway"}
    rule = " ".join(PAGE.split("### A permission")[1].split("### ")[0].split()).lower().replace(" ", "")
    for service in GUARDED:
        assert names.get(service, service).lower().replace(" ", "") in rule, service

"""The service proxy in the template of a project; what it does is in tests/aws/service/test_service_proxy.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.project.config import ProjectError, find_project
from coatcheck_infra.project.project_template import project_template
from coatcheck_infra.project.template_api import AUTHORIZER
from coatcheck_service.http.proxy_permission import VERDICT_TTL

JOBS = '''
from coatcheck import Context, Upload, job
from pydantic import BaseModel, Field


class Text(BaseModel):
    text: str = Field(max_length=200)


class File(BaseModel):
    file: Upload


class Words(BaseModel):
    words: int


@job("text.words", timeout=120)
def words(given: Text, _: Context) -> Words:
    """Count the words of a text."""
    return Words(words=len(given.text.split()))


@job("file.words")
def file_words(given: File, _: Context) -> Words:
    """Count the words of a file."""
    return Words(words=0)
'''


def template(folder: Path, api: str) -> dict[str, Any]:
    """The template of a project with two job types."""
    (folder / "proxied_words.py").write_text(JOBS)
    (folder / "pyproject.toml").write_text(f'[tool.coatcheck]\njobs = ["proxied_words"]\n[tool.coatcheck.api]\n{api}\n')
    return project_template(find_project(folder))


def test_a_path_for_each_type_and_nothing_without_one(tmp_path: Path) -> None:
    made = template(tmp_path, 'authorizer = true\nservice-proxy = ["text.words"]')
    body = made["Resources"]["Api"]["Properties"]["DefinitionBody"]
    assert [path for path in body["paths"] if path.startswith("/v1/proxy/")] == ["/v1/proxy/text.words"]
    assert body["components"]["schemas"]["Submit1"]["properties"]["input"] == {
        "type": "object",
        "required": ["text"],
        "additionalProperties": False,
        "properties": {"text": {"type": "string", "maxLength": 200}},
    }
    request = body["paths"]["/v1/proxy/text.words"]["post"]["x-amazon-apigateway-integration"]["requestTemplates"]
    assert '"120000"' in request["application/json"]
    for function in ("ApiFunction", "AuthorizerFunction"):
        assert made["Resources"][function]["Properties"]["Environment"]["Variables"]["COATCHECK_SERVICE_PROXY"] == "on"
    without = template(tmp_path, "authorizer = true")
    assert "Dispatcher" not in json.dumps(without)
    assert "StreamSpecification" not in without["Resources"]["Table"]["Properties"]


def test_api_gateway_may_make_rows_of_jobs_and_nothing_else(tmp_path: Path) -> None:
    made = template(tmp_path, 'authorizer = true\nservice-proxy = ["text.words"]')
    (policy,) = made["Resources"]["ServiceProxyRole"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "dynamodb:UpdateItem"
    assert statement["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#job_*"]}}
    # what is not a job's is in other partitions: `t#upl_1`, `#keys`, `#limits`
    assert json.dumps(statement["Resource"]).count("table/") == 1


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ('service-proxy = ["text.words"]', "needs authorizer = true"),
        ('authorizer = true\niam = "submit"\nservice-proxy = ["text.words"]', "and iam is submit"),
        ('front-door = "alb"\nservice-proxy = ["text.words"]', "is for a REST API, and front-door is alb"),
        ('authorizer = true\nservice-proxy = ["text.word"]', "did you mean `text.words`"),
        ('authorizer = true\nservice-proxy = ["file.words"]', "API Gateway cannot check file.words: input.file"),
    ],
)
def test_a_proxy_that_cannot_be_is_one_line(tmp_path: Path, api: str, said: str) -> None:
    with pytest.raises(ProjectError) as refused:
        template(tmp_path, api)
    assert said in str(refused.value)
    assert "service-proxy" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_credentials_outlast_what_api_gateway_keeps_of_them() -> None:
    kept = AUTHORIZER.read_text().partition("authorizerResultTtlInSeconds: ")[2].split()[0]
    assert int(kept) * 1000 == VERDICT_TTL

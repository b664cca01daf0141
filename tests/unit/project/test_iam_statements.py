"""The rule that a project's IAM statements keep to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coatcheck_infra.project.config import ProjectError, find_project
from coatcheck_infra.project.iam_statements import GUARDED, StatementError, check_statement, read_statements

Json = dict[str, Any]

PYPROJECT = '[tool.coatcheck]\njobs = ["jobs.words"]\n[tool.coatcheck.handlers]\npolicies = "policies.json"\n'
MODELS = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}


ORDERS = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:orders"


def arn(service: str, resource: str, region: str = "eu-central-1") -> str:
    return f"arn:aws:{service}:{region}:123456789012:{resource}"


@pytest.mark.parametrize(
    "statement",
    [
        MODELS,
        {**MODELS, "Sid": "Models", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {
            **MODELS,
            "Action": ["s3:Get*", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::models", "arn:aws:s3:::models/*"],
        },
        # a service that has no resources of its own
        {**MODELS, "Action": "textract:DetectDocumentText", "Resource": "*"},
        {**MODELS, "Action": "bedrock:Invoke*", "Resource": arn("bedrock", "foundation-model/*")},
        {
            **MODELS,
            "Action": "dynamodb:Query",
            "Resource": [arn("dynamodb", "table/prices"), arn("dynamodb", "table/prices/index/*")],
        },
        {**MODELS, "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::123456789012:role/reader"},
        {**MODELS, "Action": "secretsmanager:GetSecretValue", "Resource": arn("secretsmanager", "secret:db-??????")},
        {**MODELS, "Action": "sqs:SendMessage", "Resource": ORDERS},
        {**MODELS, "Action": "lambda:InvokeFunction", "Resource": arn("lambda", "function:render:*")},
    ],
)
def test_what_handlers_need_of_other_services_may_be_allowed(statement: Json) -> None:
    check_statement(statement, "words")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Effect": "Deny"}, 'Effect must be "Allow"'),
        ({"Effect": None}, 'Effect must be "Allow"'),
        ({"NotAction": "s3:DeleteObject"}, "NotAction is not allowed"),
        ({"NotResource": "*"}, "NotResource is not allowed"),
        ({"NotPrincipal": "*"}, "NotPrincipal is not allowed"),
        ({"Principal": "*"}, "Principal is not allowed"),
        ({"Action": "*"}, r'Action "\*" must name a service'),
        ({"Action": "s*:GetObject"}, "must name a service"),
        ({"Action": []}, "Action must be a text"),
        ({"Action": {"Ref": "Table"}}, "Action must be a text"),
        ({"Action": "iam:PutRolePolicy"}, "must not change permissions"),
        ({"Action": "iam:*"}, "must not change permissions"),
        ({"Action": "IAM:Pass*"}, "must not change permissions"),
        ({"Action": "cloudformation:UpdateStack"}, "must not change permissions or stacks"),
        ({"Resource": "*"}, r'Resource "\*" is not allowed with s3:GetObject'),
        ({"Action": ["textract:DetectDocumentText", "S3:GetObject"], "Resource": "*"}, "is not allowed with S3:Get"),
        ({"Action": "textract:*", "Resource": "*"}, r"is not allowed with textract:\*: name each action"),
        ({"Resource": "models"}, "must be an ARN"),
        ({"Resource": "arn:aws:*:::models"}, "must be an ARN"),
        ({"Resource": {"Fn::GetAtt": ["Table", "Arn"]}}, "Resource must be a text"),
        ({"Resource": "arn:${AWS::Partition}:s3:::${Bucket}"}, "are filled in"),
        ({"Resource": "arn:aws:s3:::*"}, "has a wildcard"),
        ({"Resource": "arn:aws:s3:::mod*/x"}, "has a wildcard"),
        ({"Resource": arn("dynamodb", "table/*")}, "has a wildcard"),
        ({"Resource": arn("sqs", "orders", region="*")}, "has a wildcard"),
        ({"Resource": arn("lambda", "function:*")}, "has a wildcard"),
        ({"Resource": arn("secretsmanager", "secret:*")}, "has a wildcard"),
        ({"Resource": arn("secretsmanager", "secret:pay*")}, "has a wildcard"),
        ({"Resource": arn("secretsmanager", "secret:WebhookKey-abcdef")}, "belongs to Coatcheck"),
        ({"Resource": arn("dynamodb", "table/words-Table-1AB2")}, "belongs to Coatcheck"),
        ({"Resource": "arn:aws:s3:::words-bucket-1ab2/*"}, "belongs to Coatcheck"),
        ({"Resource": arn("sqs", "words-DefaultQueue-1AB2")}, "belongs to Coatcheck"),
        ({"Resource": arn("lambda", "function:words-DefaultWorker-1AB2")}, "belongs to Coatcheck"),
        ({"Resource": "arn:aws:iam::123456789012:role/words-ApiRole-1AB2"}, "belongs to Coatcheck"),
    ],
)  # fmt: skip
def test_what_could_weaken_or_reach_what_is_there_is_refused(change: Json, said: str) -> None:
    with pytest.raises(StatementError, match=said):
        check_statement({**MODELS, **change}, "words")


@pytest.mark.parametrize("service", GUARDED)
def test_a_resource_of_a_service_that_coatcheck_uses_is_named(service: str) -> None:
    of_a_kind = ("table/*", "function:*", "secret:*", "log-group:*", "parameter/*")
    for resource in ("*", "?", "any*", "*/x", *(of_a_kind if service != "s3" else ())):
        with pytest.raises(StatementError, match="has a wildcard"):
            check_statement({**MODELS, "Action": "bedrock:InvokeModel", "Resource": arn(service, resource)}, None)


def written(folder: Path, content: str | None) -> list[Json]:
    (folder / "pyproject.toml").write_text(PYPROJECT)
    if content is not None:
        (folder / "policies.json").write_text(content)
    return read_statements(find_project(folder))


def test_the_file_may_be_a_policy_or_a_list(tmp_path: Path) -> None:
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": [ORDERS]}
    in_template = [{**MODELS, "Resource": ["arn:aws:s3:::models/*"]}, {**send, "Resource": [{"Fn::Sub": ORDERS}]}]
    assert written(tmp_path, json.dumps([MODELS, send])) == in_template
    assert written(tmp_path, json.dumps({"Version": "2012-10-17", "Statement": [MODELS, send]})) == in_template


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"tool\.coatcheck\.handlers\.policies: policies\.json: No such file"),
        ("[", r"policies\.json: not JSON: "),
        ("{}", "must be a list of IAM statements"),
        ('["s3:GetObject"]', "must be a list of IAM statements"),
        (json.dumps([MODELS, {**MODELS, "Effect": "Deny"}]), r"policies\.json: statement 2: Effect must be"),
        (json.dumps([{**MODELS, "Sid": "Out", "Resource": "*"}]), r"policies\.json: statement Out: Resource"),
        (json.dumps([MODELS] * 100), "6000 characters of statements at most"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    with pytest.raises(ProjectError, match=said) as refused:
        written(tmp_path, content)
    assert "\n" not in str(refused.value)

"""Each function's role allows what its code sends, and nothing else."""

import ast
import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.project.config import ApiConfig
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.template import read_template
from tests.architecture import reach
from tests.aws.service.submits import LETTERS

ROLES = ("ApiRole", "AuthorizerRole", "AdminRole", "WorkerRole", "DelivererRole", "SweeperRole", "DispatcherRole")

# where an operation's permission has another name
PERMISSIONS = {
    # of updates alone
    "TransactWriteItems": {"UpdateItem"},
    "HeadObject": {"GetObject"},
    "CopyObject": {"GetObject", "PutObject"},
    "ListObjectsV2": {"ListBucket"},
    "DeleteObjects": {"DeleteObject"},
    "CreateMultipartUpload": {"PutObject"},
    "UploadPart": {"PutObject"},
    "CompleteMultipartUpload": {"PutObject"},
    "ListMultipartUploads": {"ListBucketMultipartUploads"},
    "ListParts": {"ListMultipartUploadParts"},
    "SendMessageBatch": {"SendMessage"},
    "DeleteMessageBatch": {"DeleteMessage"},
    "ChangeMessageVisibilityBatch": {"ChangeMessageVisibility"},
    "Invoke": {"InvokeFunction"},
    "get_object": {"GetObject"},
    "put_object": {"PutObject"},
    "upload_part": {"PutObject"},
}
# of what a stack may be given, how its ARN begins
ARNS = {
    "Table": "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/",
    "Bucket": "arn:${AWS::Partition}:s3:::",
}
# what a project allows, for the secrets and the role of handlers that it declares
BY_PROJECT = {"WorkerRole": {"secretsmanager:GetSecretValue", "sts:AssumeRole"}}
# what can be reached, as part of what all requests share, and is not sent
NOT_SENT = {"AdminRole": {"secretsmanager:GetSecretValue"}}
# what a function starts as a process, whose requests it signs
STARTED_BY = {"coatcheck_worker.aws_lambda.run": ("coatcheck_worker.runner.forkserver", "main")}
# what Lambda itself does with the function's role
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
READING = {f"dynamodb:{action}" for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")}
POLLING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


PROXIED = {"authorizer": True, "service-proxy": [LETTERS.name]}
TEMPLATE = render_api(read_template(), ApiConfig.model_validate(PROXIED), [LETTERS])


@functools.cache
def translation() -> dict[str, Any]:
    """What CloudFormation gets of the template, with an authorizer and a service proxy."""
    return translate_template(template=TEMPLATE)


def sent(handler: str) -> set[str]:
    """The permissions that a Lambda function needs for every request that can be reached from its handler."""
    return {
        permission for symbol in reached(handler) for node in reach.nodes(symbol) for permission in permissions(node)
    }


def reached(handler: str) -> set[reach.Symbol]:
    """What can be reached from a handler of Lambda, also in a process that it starts."""
    module, _, name = handler.rpartition(".")
    started = [STARTED_BY[handler]] if handler in STARTED_BY else []
    return reach.reached((module, name), *started)


def permissions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("Call"), args=[ast.Constant(str(service)), ast.Constant(str(operation)), *_]):
                yield from (f"{service}:{name}" for name in PERMISSIONS.get(operation, {operation}))
            case ast.Call(func=ast.Name("Presign"), args=[ast.Constant(str(operation)), *_]):
                yield from (f"s3:{name}" for name in PERMISSIONS[operation])


def handlers(role: str) -> set[str]:
    """The handlers of the functions that have the role."""
    functions = [one["Properties"] for one in TEMPLATE["Resources"].values() if "Serverless::Function" in one["Type"]]
    return {function["Handler"] for function in functions if function["Role"] == {"Fn::GetAtt": [role, "Arn"]}}


def statements(role: str) -> list[dict[str, Any]]:
    properties = translation()["Resources"][role]["Properties"]
    assert "ManagedPolicyArns" not in properties, "AWS's own policies allow far more than a function needs"
    beside = [
        one["Properties"]
        for one in translation()["Resources"].values()
        if one["Type"] == "AWS::IAM::Policy" and {"Ref": role} in one["Properties"]["Roles"]
    ]
    policies = [*properties["Policies"], *beside]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("role", "by_lambda"),
    [
        ("ApiRole", LOGS),
        ("AuthorizerRole", LOGS),
        ("AdminRole", LOGS),
        ("WorkerRole", LOGS | POLLING),
        ("DelivererRole", LOGS | POLLING),
        ("SweeperRole", LOGS),
        ("DispatcherRole", LOGS | READING),
    ],
)
def test_a_role_allows_what_can_be_sent_from_its_handler_and_nothing_else(role: str, by_lambda: set[str]) -> None:
    (handler,) = handlers(role)
    allowed = {action for statement in statements(role) for action in listed(statement["Action"])}
    beside = BY_PROJECT.get(role, set()) | NOT_SENT.get(role, set())
    assert allowed == (sent(handler) | by_lambda) - beside


def test_what_is_called_through_other_modules_is_found() -> None:
    # behind a router whose routes nobody names, a flow inside a flow, a class made by a method, a dictionary
    assert ("coatcheck_service.actions.purge", "purge") in reach.reached(("coatcheck_service.aws_lambda", "handler"))
    for handler in ("coatcheck_service.aws_lambda.handler", "coatcheck_worker.aws_sweeper_lambda.sweep"):
        assert ("coatcheck.core.flows.remove_job", "remove_items") in reached(handler)
        assert {"dynamodb:BatchWriteItem", "s3:ListBucket", "s3:DeleteObject"} < sent(handler)
    writer = ("coatcheck_worker.runner.storage.object_writer", "ObjectWriter")
    assert writer in reached("coatcheck_worker.aws_lambda.run")
    assert writer not in reached("coatcheck_worker.aws_sweeper_lambda.sweep")


def test_only_the_functions_that_sign_read_the_key_and_the_deliverer_reaches_no_bucket() -> None:
    def resources(role: str) -> set[str]:
        return {str(resource) for statement in statements(role) for resource in listed(statement["Resource"])}

    assert [role for role in ROLES if "WebhookKey" in "".join(resources(role))] == ["ApiRole", "DelivererRole"]
    assert not [resource for resource in resources("DelivererRole") if "Bucket" in resource]


def test_every_function_has_one_of_these_roles() -> None:
    functions = [one for one in translation()["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    roles = {function["Properties"]["Role"]["Fn::GetAtt"][0] for function in functions}
    assert roles == set(ROLES)


def owned(resource: Any) -> tuple[str, str]:
    """Which resource of the template a statement names, made or given, and what of it."""
    match resource:
        # Id is the ARN of a secret
        case {"Fn::GetAtt": [owner, "Arn"]} | {"Fn::If": [_, {"Fn::GetAtt": [owner, "Id"]}, _]}:
            return owner, ""
        case {"Fn::Sub": [str(arn), {"Name": {"Fn::If": [_, {"Ref": owner}, _]}}]}:
            kind, _, rest = arn.partition("${Name}")
            assert kind == ARNS[owner]
            return owner, rest
    raise AssertionError(resource)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_only_resources_of_this_stack(role: str) -> None:
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in listed(statement["Action"]))
        for resource in listed(statement["Resource"]):
            owner, rest = owned(resource)
            assert owner in translation()["Resources"], resource
            # the whole; inside a bucket, a prefix; of a table, an index by name
            assert not rest or (rest.endswith("*") and rest.count("/") >= 2) or rest.startswith("/index/"), resource


@pytest.mark.parametrize("name", ["Table", "Bucket", "WebhookKey"])
def test_a_store_that_is_given_is_used_wherever_the_stacks_own_would_be(name: str) -> None:
    resources = translation()["Resources"]
    made = resources[name]["Condition"]
    assert translation()["Conditions"][made] == {"Fn::Equals": [{"Ref": f"Existing{name}"}, ""]}
    # a condition for each use, none of which is left to the stack's own alone
    text = json.dumps(translation())
    for own in ({"Ref": name}, {"Fn::GetAtt": [name, "Id"]}):
        either = {"Fn::If": [made, own, {"Ref": f"Existing{name}"}]}
        assert text.count(json.dumps(own)) == text.count(json.dumps(either))
    assert f'"Fn::GetAtt": ["{name}", "Arn"' not in text
    assert "${" + name not in text

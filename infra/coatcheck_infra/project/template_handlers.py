"""What a project's handlers get on AWS, in the template: variables, secrets, permissions, layers, a network.

Only the functions that run jobs get it: never the API, the sweeper or the deliverer.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coatcheck_infra.project.config import FORMS, LAYER, HandlersConfig, ProjectError

Json = dict[str, Any]

WORKER_HANDLER = "coatcheck_worker.aws_lambda.run"
WORKER_ROLE = "WorkerRole"
DECRYPT = "kms:Decrypt"
HANDLER_POLICY = "HandlerPolicy"
HANDLER_ROLE = "HandlerRole"

VPC_POLICY = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"}
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions"""

RESERVED_VARIABLES = {"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "TZ"}
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime"""

VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
"""https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html, `Name`."""

IDENTIFIERS = {
    "layers": (
        re.compile(LAYER),
        FORMS[LAYER],
    ),
    "vpc.subnets": (re.compile(r"subnet-[0-9a-f]+"), "the id of a subnet, as subnet-0a1b2c3d"),
    "vpc.security-groups": (re.compile(r"sg-[0-9a-f]+"), "the id of a security group, as sg-0a1b2c3d"),
}


def check_handlers(handlers: HandlersConfig) -> None:
    """Raise ProjectError if something in `[tool.coatcheck.handlers]` cannot be deployed."""
    for problem in (*_variable_problems(handlers), *_secret_problems(handlers), *_identifier_problems(handlers)):
        raise ProjectError(f"tool.coatcheck.handlers{problem}")


def _variable_problems(handlers: HandlersConfig) -> Iterator[str]:
    for key, names in (("environment", handlers.environment), ("secrets", handlers.secrets)):
        for name in names:
            if problem := _name_problem(name):
                yield f".{key}.{name}: {problem}"
    for name, value in handlers.environment.items():
        if "{{resolve:" in value:
            yield (
                f".environment.{name}: CloudFormation would write the secret into the function: "
                "name it in handlers.secrets"
            )
    for name in sorted(handlers.environment.keys() & handlers.secrets.keys()):
        yield f": {name} is in environment and in secrets: leave it in one"


def _name_problem(name: str) -> str | None:
    if name.upper().startswith(("COATCHECK_", "AWS_")):
        return "names with COATCHECK_ and AWS_ are those of Coatcheck and of Lambda: take another name"
    if name.upper() in RESERVED_VARIABLES:
        return "Lambda reserves this name: take another"
    return None if VARIABLE.fullmatch(name) else "a variable of Lambda begins with a letter, and has two characters"


def _secret_problems(handlers: HandlersConfig) -> Iterator[str]:
    for variable, name in handlers.secrets.items():
        if not SECRET_NAME.fullmatch(name):
            yield (
                f'.secrets.{variable}: "{name}" must be the name of a secret in Secrets Manager (not its ARN, and not '
                "its value): letters, digits and /_+=.@-"
            )
        if name.startswith("WebhookKey-"):
            yield f".secrets.{variable}: {name} is Coatcheck's own key of webhooks"


def _identifier_problems(handlers: HandlersConfig) -> Iterator[str]:
    given = {"layers": handlers.layers}
    if handlers.vpc:
        given |= {"vpc.subnets": handlers.vpc.subnets, "vpc.security-groups": handlers.vpc.security_groups}
    for key, values in given.items():
        pattern, what = IDENTIFIERS[key]
        for value in values:
            if not pattern.fullmatch(value):
                yield f'.{key}: "{value}" is not {what}'


def render_handlers(template: Json, handlers: HandlersConfig, statements: Sequence[Json]) -> Json:
    """Return the template with what handlers get. `statements` are those of their role, checked.

    Raises ProjectError as `check_handlers` does.
    """
    check_handlers(handlers)
    rendered = copy.deepcopy(template)
    for resource in rendered["Resources"].values():
        if resource.get("Properties", {}).get("Handler") == WORKER_HANDLER:
            _add_to_function(resource["Properties"], handlers, has_role=bool(statements))
    if handlers.vpc:
        rendered["Resources"][WORKER_ROLE]["Properties"]["ManagedPolicyArns"] = [VPC_POLICY]
    if statements:
        rendered["Resources"][HANDLER_ROLE] = _handler_role(statements)
    worker_may = [*_secrets_statement(handlers.secrets), *(_ASSUME_HANDLER_ROLE for _ in statements[:1])]
    if handlers.secrets:
        # the worker reads the secrets, and some of them may be encrypted with a key of the owner's
        worker_may += [one for one in statements if _actions_of(one) == {DECRYPT}]
    if worker_may:
        rendered["Resources"][HANDLER_POLICY] = {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": "handlers",
                "Roles": [{"Ref": WORKER_ROLE}],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": worker_may},
            },
        }
    return rendered


def _handler_role(statements: Sequence[Json]) -> Json:
    """The role of handlers. The worker assumes it for them, and its own permissions stay out of their reach."""
    trust = {"Effect": "Allow", "Principal": {"AWS": _arn_of(WORKER_ROLE)}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [*statements]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "handlers", "PolicyDocument": document}],
        },
    }


def _actions_of(statement: Json) -> set[str]:
    actions = statement["Action"]
    return {actions} if isinstance(actions, str) else set(actions)


def _arn_of(resource: str) -> Json:
    return {"Fn::GetAtt": [resource, "Arn"]}


_ASSUME_HANDLER_ROLE: Json = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": _arn_of(HANDLER_ROLE)}


def _add_to_function(properties: Json, handlers: HandlersConfig, *, has_role: bool) -> None:
    variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
    variables |= {**handlers.environment, "COATCHECK_SECRETS": json.dumps(handlers.secrets)}
    if has_role:
        variables["COATCHECK_HANDLER_ROLE"] = _arn_of(HANDLER_ROLE)
    if handlers.layers:
        properties["Layers"] = [*handlers.layers]
    if handlers.vpc:
        properties["VpcConfig"] = {
            "SubnetIds": [*handlers.vpc.subnets],
            "SecurityGroupIds": [*handlers.vpc.security_groups],
        }


def _secrets_statement(secrets: Mapping[str, str]) -> Iterator[Json]:
    """Yield the statement that allows to read these secrets, if there are any.

    The ARN of a secret ends with a hyphen and six random characters:
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
    """
    own = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
    arns = [{"Fn::Sub": f"{own}{name}-??????"} for name in sorted(set(secrets.values()))]
    if arns:
        yield {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arns}

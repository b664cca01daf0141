"""The IAM statements that a project adds for its handlers, and the rule that they keep to.

They may allow what handlers need of other services. They may not reach what Coatcheck itself is made of, nor give
permissions away (docs/adr/0113-a-project-adds-to-the-template.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck_infra.project.config import Project, ProjectError

Json = dict[str, Any]

KEYS = {"Sid", "Effect", "Action", "Resource", "Condition"}

MAX_CHARACTERS = 6000
"""Of all statements, as JSON: a role's own policies have 10,240, and the lanes take some of it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

REFUSED_SERVICES = {"iam", "cloudformation", "organizations", "account"}
"""Services whose actions could change what is deployed, or who may do what."""

PERMITTED_ACTIONS = {"iam:passrole"}
"""Actions of these services that may be allowed all the same, for resources that are named in full."""

NAMED = r"[^*?]+"
"""A resource that is named in full."""

GUARDED: Mapping[str, str] = {
    # objects below a bucket that is named in full
    "s3": r"[^*?/]+(/.*)?",
    "dynamodb": r"table/[^*?]+(/index/\*)?",
    # Secrets Manager adds a hyphen and six characters to a name
    "secretsmanager": r"secret:[^*?]+(-\?{6})?",
    "lambda": r"(function|layer):[^*?]+(:\*)?",
    "logs": r"log-group:[^*?]+(:\*)?",
    "ssm": r"parameter/[^*?]+(/\*)?",
    **dict.fromkeys(("sqs", "sns", "kms", "sts", "iam", "events", "scheduler", "apigateway", "execute-api"), NAMED),
}
"""Services that Coatcheck uses, or that give permissions: what the last part of a resource's ARN may be."""

PSEUDO_PARAMETERS = ("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")

_ACTION = re.compile(r"(?P<service>[a-z0-9-]+):(?P<name>[A-Za-z0-9*?]+)", re.IGNORECASE)
_ARN = re.compile(
    r"arn:(?P<partition>[^:*?]+):(?P<service>[^:*?]+):(?P<region>[^:]*):(?P<account>[^:]*):(?P<resource>.+)"
)


class StatementError(Exception):
    """A statement is refused. The message says why."""


def read_statements(project: Project) -> list[Json]:
    """Return the statements of the file that the project names in `policies`, for the template.

    The file holds a list of statements, or a policy with a `Statement`. Raises ProjectError.
    """
    path = project.config.handlers.policies
    if path is None:
        return []
    try:
        content = json.loads((project.root / path).read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not JSON: {error}"
        raise ProjectError(f"tool.coatcheck.handlers.policies: {path}: {reason}") from error
    statements = content.get("Statement") if isinstance(content, dict) else content
    if not isinstance(statements, list) or not all(isinstance(one, dict) for one in statements):
        raise ProjectError(f"{path}: must be a list of IAM statements, or a policy with a list as its Statement")
    for number, statement in enumerate(statements, 1):
        try:
            check_statement(statement, project.config.deploy.stack)
        except StatementError as error:
            raise ProjectError(f"{path}: statement {statement.get('Sid', number)}: {error}") from error
    if len(json.dumps(statements)) > MAX_CHARACTERS:
        raise ProjectError(f"{path}: {MAX_CHARACTERS} characters of statements at most: IAM takes no more for a role")
    return [{**one, "Resource": [_for_template(arn) for arn in _texts(one, "Resource")]} for one in statements]


def check_statement(statement: Json, stack: str | None) -> None:
    """Raise StatementError if the statement does not keep to the rule. `stack` is the name of the project's stack."""
    if unknown := sorted(statement.keys() - KEYS):
        raise StatementError(f"{unknown[0]} is not allowed: say which Action on which Resource is allowed")
    if statement.get("Effect") != "Allow":
        raise StatementError('Effect must be "Allow": a handler must not lose what the worker needs')
    services = [_Action.of(one) for one in _texts(statement, "Action")]
    for resource in _texts(statement, "Resource"):
        if resource == "*":
            _check_all_resources(services)
        else:
            _check_arn(resource, stack)


@dataclass(frozen=True)
class _Action:
    text: str
    service: str

    @classmethod
    def of(cls, text: str) -> _Action:
        found = _ACTION.fullmatch(text)
        if not found:
            raise StatementError(f'Action "{text}" must name a service and its action, as "s3:GetObject"')
        action = cls(text, found["service"].lower())
        if action.service in REFUSED_SERVICES and text.lower() not in PERMITTED_ACTIONS:
            raise StatementError(f'Action "{text}" is not allowed: a handler must not change permissions or stacks')
        return action


def _check_all_resources(actions: Sequence[_Action]) -> None:
    for action in actions:
        if action.service in GUARDED:
            raise StatementError(f'Resource "*" is not allowed with {action.text}: name the resource by its ARN')
        if "*" in action.text or "?" in action.text:
            raise StatementError(f'Resource "*" is not allowed with {action.text}: name each action, or the resource')


def _check_arn(resource: str, stack: str | None) -> None:
    found = _ARN.fullmatch(_filled(resource))
    if not found:
        raise StatementError(f'Resource "{resource}" must be an ARN that names its partition and service, or "*"')
    allowed = GUARDED.get(found["service"].lower())
    if allowed is None:
        return
    exact = all("*" not in found[part] and "?" not in found[part] for part in ("region", "account"))
    if not exact or not re.fullmatch(allowed, found["resource"]):
        raise StatementError(
            f'Resource "{resource}" has a wildcard that could reach what Coatcheck is made of: name it in full'
        )
    if any(re.search(own, found["resource"], re.IGNORECASE) for own in _own_resources(stack)):
        raise StatementError(f'Resource "{resource}" belongs to Coatcheck: a handler reaches it by its context alone')


def _own_resources(stack: str | None) -> Iterator[str]:
    """Yield patterns of the names that CloudFormation gives to the resources of the stack."""
    # a secret's name does not begin with the stack's
    yield r"^secret:WebhookKey-"
    if stack:
        own = "Table|Bucket|WebhookKey|Api|Deliverer|Sweeper|[A-Za-z0-9]+(Queue|DeadLetters|Worker|Role|Log|Function)"
        yield rf"(^|[:/]){re.escape(stack)}-({own})-"


def _texts(statement: Json, key: str) -> list[str]:
    value = statement.get(key)
    texts: list[Any] = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(one, str) for one in texts):
        raise StatementError(f"{key} must be a text or a list of texts")
    return texts


def _filled(resource: str) -> str:
    for name in PSEUDO_PARAMETERS:
        resource = resource.replace(name, "any")
    if "${" in resource:
        raise StatementError(f'Resource "{resource}": only {", ".join(PSEUDO_PARAMETERS)} are filled in')
    return resource


def _for_template(resource: str) -> str | Json:
    return {"Fn::Sub": resource} if "${" in resource else resource

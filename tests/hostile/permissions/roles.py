"""The roles of the functions of a stack in the emulator: their statements, and what they were seen to ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from coatcheck_infra.local.resources import client
from tests.journeys.up_process import Stack

_DECISION = re.compile(r"IAM (?P<decision>allows|denies) (?P<role>\S+) (?P<action>\S+) on (?P<resource>\S+)$")


@dataclass(frozen=True)
class Request:
    """What a role asked IAM for."""

    role: str
    action: str
    resource: str


@dataclass(frozen=True)
class Statement:
    """A statement of a role's policy: the `index`-th of it."""

    role: str
    policy: str
    index: int
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it is called in a table: no role has two statements of the same actions."""
        kind = next(part for part in self.role.split("-") if part.endswith("Role"))
        return f"{kind} {', '.join(self.actions)}"

    def allows(self, request: Request) -> bool:
        """Whether it allows the request."""
        by_action = request.action in self.actions
        return (
            by_action
            and request.role == self.role
            and any(fnmatchcase(request.resource, one) for one in self.resources)
        )


def decisions(log: Path) -> dict[str, list[Request]]:
    """Return what the emulator's log says was allowed and denied, each kind once."""
    found: dict[str, list[Request]] = {"allows": [], "denies": []}
    for line in log.read_text(errors="replace").splitlines():
        if match := _DECISION.search(line):
            found[match["decision"]].append(Request(match["role"], match["action"], match["resource"]))
    return found


class Roles:
    """The policies of the roles, to be read and changed."""

    def __init__(self, stack: Stack) -> None:
        self._iam = client("iam", stack.aws_endpoint_url, stack.credentials)
        self.documents = {key: self._document(*key) for key in self._names()}

    def statements(self) -> list[Statement]:
        """Return the statements of `TRAVELLED`, but those for the logs, which Lambda itself writes."""
        found = []
        for (role, policy), document in self.documents.items():
            if not TRAVELLED.intersection(role.split("-")):
                continue
            for index, one in enumerate(document["Statement"]):
                statement = Statement(role, policy, index, _listed(one["Action"]), _listed(one["Resource"]))
                if not statement.actions[0].startswith("logs:"):
                    found.append(statement)
        return found

    def remove(self, statement: Statement) -> None:
        """Take a statement away from its role."""
        document = self.documents[statement.role, statement.policy]
        kept = [one for index, one in enumerate(document["Statement"]) if index != statement.index]
        self._put(statement, {**document, "Statement": kept or [_NOTHING]})

    def restore(self, statement: Statement) -> None:
        """Give it back."""
        self._put(statement, self.documents[statement.role, statement.policy])

    def _put(self, statement: Statement, document: Mapping[str, Any]) -> None:
        text = json.dumps(document)
        self._iam.put_role_policy(RoleName=statement.role, PolicyName=statement.policy, PolicyDocument=text)

    def _names(self) -> Iterator[tuple[str, str]]:
        for role in self._iam.list_roles()["Roles"]:
            for policy in self._iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
                yield role["RoleName"], policy

    def _document(self, role: str, policy: str) -> dict[str, Any]:
        found: dict[str, Any] = self._iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        return found


TRAVELLED = frozenset({"ApiRole", "AdminRole", "WorkerRole", "DelivererRole", "SweeperRole"})
"""The roles that the paths need."""

_NOTHING = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
"""A policy has at least one statement. This one allows what nobody is denied."""


def _listed(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)

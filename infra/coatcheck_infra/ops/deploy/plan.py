"""Plans a deploy from the template's parameters, those of the live stack, and the requested values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck_infra.ops.deploy.front_doors import front_door_problem, front_door_warnings
from coatcheck_infra.project.template_parameters import parameter_error, unknown_parameter

IMMUTABLE_PARAMETERS = ("ExistingTable", "ExistingBucket", "ExistingWebhookKey")
"""Parameters that are fixed when a stack is created. The API's published version would go on with the old store."""

IMAGES = ("ApiImage", "WorkerImage")
"""The parameters with the images of what runs in containers."""


class DeployRefused(Exception):
    """The deploy is refused. The message gives the reason to whoever started it."""


@dataclass(frozen=True)
class LiveStack:
    """An existing stack: its status, and the values of its parameters."""

    status: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """A parameter that gets a new value. `before` is None if the live stack lacks it, or if there is no stack."""

    name: str
    before: str | None
    after: str


@dataclass(frozen=True)
class Plan:
    """`values` holds the new value of every template parameter, `changes` the difference to the live stack."""

    live: LiveStack | None
    values: Mapping[str, str]
    changes: Sequence[Change]


def parse_parameters(texts: Sequence[str]) -> dict[str, str]:
    """Parse texts like `Name=value Name=value`. A value may have spaces, as JSON does. Raises DeployRefused."""
    requested: dict[str, str] = {}
    for pair in (pair for text in texts for pair in re.split(r"\s+(?=[A-Z]\w*=)", text.strip()) if pair):
        name, equals, value = pair.partition("=")
        if not equals:
            raise DeployRefused(f"{pair!r} must have the form Name=value")
        requested[name] = value
    return requested


def make_plan(declared: Mapping[str, Any], live: LiveStack | None, requested: Mapping[str, str]) -> Plan:
    """Compute the new values of the template's parameters, `declared`. What is not requested stays as it is.

    Raises DeployRefused.
    """
    for name, value in requested.items():
        if name not in declared:
            raise DeployRefused(unknown_parameter(name, declared))
        if wrong := parameter_error(declared[name], value):
            raise DeployRefused(f"{name}={value}: {wrong}")
    before = live.parameters if live else {}
    values = {name: requested.get(name, before.get(name, one.get("Default"))) for name, one in declared.items()}
    if missing := [name for name, value in values.items() if value is None]:
        raise DeployRefused(f"{missing[0]} has no value: give it with --set {missing[0]}=… (docs/containers.md)")
    values = {name: str(value) for name, value in values.items()}
    changes = [Change(name, before.get(name), value) for name, value in values.items() if before.get(name) != value]
    for change in changes:
        if live and change.name in IMMUTABLE_PARAMETERS and (change.before or "") != change.after:
            raise DeployRefused(f"{change.name} can only be set on a new stack: create one with it (docs/deploy.md)")
    if int(values["DefaultRetentionDays"]) > int(values["MaxRetentionDays"]):
        raise DeployRefused("DefaultRetentionDays is more than MaxRetentionDays: no function would start")
    if problem := front_door_problem(values):
        raise DeployRefused(problem)
    return Plan(live, values, changes)


def warnings(plan: Plan) -> Iterator[str]:
    """Yield warnings about what is easily overlooked in the plan."""
    values, before = plan.values, plan.live.parameters if plan.live else {}
    if not values["AlarmTopicArn"]:
        yield "AlarmTopicArn is empty: nobody is notified of alarms. Give the ARN of an SNS topic."
    for image in IMAGES:
        if image in before and before[image] == values.get(image):
            yield f"{image} stays as it is: containers go on with the code of that image. Build another after a change."
    if keys := json.loads(before.get("ApiKeys") or "{}"):
        yield (
            f"ApiKeys is a parameter no longer: its {len(keys)} keys of the live stack will get 401, unless "
            "`coatcheck keys import` has copied them into the table (docs/keys.md)."
        )
    yield from front_door_warnings(values, plan.live.parameters if plan.live else None)
    longest, longest_before = values["MaxRetentionDays"], before.get("MaxRetentionDays", "0")
    if int(longest) < int(longest_before):
        yield (
            f"MaxRetentionDays goes from {longest_before} to {longest}: the bucket deletes what is older, "
            "including results whose jobs promise to keep them for longer."
        )

"""The operations of the commands: they find the deployment, change limits in its table and print the results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coatcheck.cli import display
from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.api.limit_models import LimitsChange, limits_view
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.limit_items import FIELDS, change_limits, get_limits, list_limits
from coatcheck.core.clock import SECOND
from coatcheck.core.ids import TENANT_PATTERN
from coatcheck.core.sanitize import quoted
from coatcheck.core.suggestions import unknown
from coatcheck.core.tenant_limits import TTL, TenantLimits
from coatcheck_infra.ops.error_reports import report_errors
from coatcheck_infra.ops.target_deployment import TargetDeployment, find_deployment

BY_TYPE = "jobs_running_by_type"


def show(stack: str | None, tenant: str | None, *, as_json: bool) -> None:
    """Print limits. Raises CoatcheckError, and typer.Exit after it has reported an error of AWS."""
    with _deployment(stack) as target:
        if tenant is None:
            found = dict(_all_limits(target))
        else:
            found = {tenant: target.aws.send(get_limits(target.settings.table, _checked(tenant)))}
    _print(found, as_json=as_json)
    if not found:
        display.print_message("no tenant has limits")


def set_limits(stack: str | None, tenant: str, given: Sequence[str], *, as_json: bool) -> None:
    """Set limits, each `name=value`, and print all of the tenant. Raises as `show` does."""
    values = [_parsed(one) for one in given]
    with _deployment(stack) as target:
        changes: dict[str, Any] = {name: value for name, value in values if not isinstance(value, Mapping)}
        if by_type := {
            kind: count for _, value in values if isinstance(value, Mapping) for kind, count in value.items()
        }:
            before = target.aws.send(get_limits(target.settings.table, _checked(tenant)))
            changes[BY_TYPE] = {**before.jobs_running_by_type, **by_type}
        _change(target, tenant, _validated(changes), as_json=as_json)


def clear(stack: str | None, tenant: str, names: Sequence[str], *, as_json: bool) -> None:
    """Remove limits, or all, and print what is left. Raises as `show` does."""
    changes = {_field(name): None for name in names or FIELDS}
    with _deployment(stack) as target:
        _change(target, tenant, changes, as_json=as_json)


def _change(target: TargetDeployment, tenant: str, changes: Mapping[str, Any], *, as_json: bool) -> None:
    after = target.aws.send(change_limits(target.settings.table, _checked(tenant), changes))
    _print({tenant: after}, as_json=as_json)
    display.print_message(f"these hold everywhere in {TTL // SECOND} s")


def _all_limits(target: TargetDeployment) -> Iterator[tuple[str, TenantLimits]]:
    page = target.aws.send(list_limits(target.settings.table))
    yield from page.limits.items()
    while page.next:
        page = target.aws.send(list_limits(target.settings.table, after=page.next))
        yield from page.limits.items()


def _parsed(argument: str) -> tuple[str, Any]:
    """The limit in `name=value`; one of a job type, `jobs_running_by_type.TYPE=value`, as a mapping."""
    name, equals, text = argument.partition("=")
    if not equals:
        raise InvalidArgumentError(f"{quoted(argument)}: write LIMIT=VALUE, as submit_rate=5")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    field, dot, job_type = name.partition(".")
    return _field(field), {job_type: value} if dot else value


def _field(name: str) -> str:
    if name not in FIELDS:
        raise InvalidArgumentError(unknown("limit", name, FIELDS, see="see docs/limits.md"))
    return name


def _validated(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return LimitsChange.model_validate(changes).changes()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"float", "int"})
        raise InvalidArgumentError(f"{where}: {first['msg'].lower()}") from None


def _checked(tenant: str) -> str:
    if not re.fullmatch(TENANT_PATTERN, tenant):
        raise InvalidArgumentError(f"{quoted(tenant)} cannot be a tenant: use 1 to 64 of A-Z a-z 0-9 _ -")
    return tenant


def _print(found: Mapping[str, TenantLimits], *, as_json: bool) -> None:
    views = [limits_view(tenant, limits).model_dump(mode="json") for tenant, limits in found.items()]
    if as_json:
        display.print_json_lines(views)
        return
    rows = [
        (view["tenant"], name, _shown(view[name])) for view in views for name in FIELDS if view[name] not in (None, {})
    ]
    if rows:
        display.print_table(("tenant", "limit", "value"), rows)
    elif views:
        display.print_message("no limits")


def _shown(value: Any) -> str:
    return " ".join(f"{name}={count}" for name, count in value.items()) if isinstance(value, dict) else str(value)


@contextmanager
def _deployment(stack: str | None) -> Iterator[TargetDeployment]:
    with report_errors("limits"):
        try:
            yield find_deployment(stack, os.environ, Path.cwd())
        except NewerRow as error:
            raise InvalidArgumentError(f"{error}: use the command of that version") from None

"""Deletes the stack of a project, and its data where that is asked for: what `coatcheck destroy` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from coatcheck_infra.ops.deploy.deploy import YES, confirm
from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.ops.deploy.stored_data import Store, delete_store, stores_of
from coatcheck_infra.ops.deploy.target import project_of, target_of

Clients = Callable[[str], Any]
"""Returns a client of an AWS service."""

OWN_PARAMETERS = {"DueShards", "ExistingTable", "ExistingWebhookKey"}
"""Parameters by which a stack is known to be one of Coatcheck."""

POLL = 5.0
"""Seconds between looks at a stack that is being deleted."""


@dataclass(frozen=True)
class Doomed:
    """A stack that is to be deleted, and the stores that hold its data."""

    stack_id: str
    name: str
    status: str
    stores: Sequence[Store]


def destroy_project(folder: Path, stack: str | None, region: str | None, *, keep_data: bool, confirmed: bool) -> int:
    """Delete the stack of the project of `folder`, or the stack of that name. Returns the exit code.

    Raises ProjectError, DeployRefused and botocore's errors.
    """
    if stack is None or region is None:
        deploy = project_of(folder, stack, region).config.deploy
        stack, region = deploy.stack, deploy.region
    target = target_of(stack, region)
    doomed = find_stack(target.client("cloudformation"), target.stack)
    print("\n".join(describe(doomed, target.region, keep_data=keep_data)))
    if not confirmed:
        ask(doomed, keep_data=keep_data)
    destroy(target.client, doomed, keep_data=keep_data)
    return 0


def find_stack(cloudformation: Any, name: str) -> Doomed:
    """Return what there is of the stack. Raises DeployRefused if there is none, or if it is not one of Coatcheck."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            raise DeployRefused(f"there is no stack {name} in {cloudformation.meta.region_name}") from None
        raise
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in stack.get("Parameters", [])}
    if not parameters.keys() >= OWN_PARAMETERS:
        raise DeployRefused(f"stack {name} is not one of Coatcheck: it is left alone")
    if stack["StackStatus"].endswith("_IN_PROGRESS"):
        raise DeployRefused(f"stack {name} is {stack['StackStatus']}: wait until that change has ended")
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
    return Doomed(stack["StackId"], name, stack["StackStatus"], stores_of(outputs, parameters))


def describe(doomed: Doomed, region: str, *, keep_data: bool) -> Iterator[str]:
    """Yield lines on what goes and what stays."""
    yield f"Stack {doomed.name} in {region} ({doomed.status}):"
    yield "  goes: its API, functions, queues with their messages, roles, alarms and logs"
    for store in doomed.stores:
        if store.given:
            yield f"  stays: {store}, which the stack was given ({store.parameter})"
        elif keep_data:
            yield f"  stays: {store}; a new stack uses it with --set {store.parameter}={store.name}"
        else:
            yield f"  goes, with all that is in it: {store}"
    yield "Jobs that wait or run stop." + ("" if keep_data else " Results are lost. To keep them: --keep-data.")


def ask(doomed: Doomed, *, keep_data: bool) -> None:
    """Ask on the terminal; for the data, the stack's name has to be typed. Raises DeployRefused."""
    if keep_data:
        confirm("Destroy? [y/N] ", YES)
    else:
        confirm(f"Type the stack's name, {doomed.name}, to delete it with its data: ", {doomed.name})


def destroy(clients: Clients, doomed: Doomed, *, keep_data: bool, poll: float = POLL) -> None:
    """Delete the stack, wait until it is gone, and then delete the data that it made, unless `keep_data`.

    Raises DeployRefused if CloudFormation cannot delete it, and botocore's errors.
    """
    cloudformation = clients("cloudformation")
    cloudformation.delete_stack(StackName=doomed.stack_id)
    print(f"deleting stack {doomed.name} …")
    while (status := _status(cloudformation, doomed.stack_id)) != "DELETE_COMPLETE":
        if not status.endswith("_IN_PROGRESS"):
            reason = _first_failure(cloudformation, doomed.stack_id)
            raise DeployRefused(f"stack {doomed.name} is {status}: {reason}. Its data is kept; run it again")
        time.sleep(poll)
    print(f"deleted stack {doomed.name}")
    if not keep_data:
        _delete_data(clients, [store for store in doomed.stores if not store.given])


def _delete_data(clients: Clients, stores: Sequence[Store]) -> None:
    left = [*stores]
    try:
        for store in stores:
            print(f"deleted {delete_store(clients, store)}")
            left.remove(store)
    except (ClientError, BotoCoreError) as error:
        raise DeployRefused(
            f"the stack is deleted, but not the {', '.join(map(str, left))}: {error}. Delete by hand (docs/deploy.md)"
        ) from error


def _status(cloudformation: Any, stack_id: str) -> str:
    try:
        return str(cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if "does not exist" in str(error):
            return "DELETE_COMPLETE"
        raise


def _first_failure(cloudformation: Any, stack_id: str) -> str:
    events: Sequence[Mapping[str, Any]] = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    failed = [one for one in events if one["ResourceStatus"] == "DELETE_FAILED" and one.get("ResourceStatusReason")]
    # the newest events come first
    return (
        f"{failed[-1]['LogicalResourceId']}: {failed[-1]['ResourceStatusReason']}" if failed else "no reason is given"
    )

"""The calls to AWS that a deploy makes besides those of the SAM CLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from coatcheck_infra.ops.deploy.account_limits import Account
from coatcheck_infra.ops.deploy.plan import DeployRefused, LiveStack

STACK_POLICY = Path(__file__).resolve().parents[2] / "stack-policy.json"

CREATION_FAILED = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
NOT_CREATED_YET = "REVIEW_IN_PROGRESS"
"""A change set was created but never executed."""


def live_stack(cloudformation: Any, name: str) -> LiveStack | None:
    """Return the stack of that name; None if it does not exist.

    Raises DeployRefused if its present status does not allow a deploy.
    """
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    status = stack["StackStatus"]
    if status == NOT_CREATED_YET:
        return None
    if status in CREATION_FAILED:
        raise DeployRefused(
            f"stack {name} is {status}: delete it first (aws cloudformation delete-stack --stack-name {name})"
        )
    if status.endswith("_IN_PROGRESS"):
        raise DeployRefused(f"stack {name} is {status}: wait until that change has ended")
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}
    return LiveStack(status, parameters)


def account(functions: Any) -> Account | None:
    """Return the concurrency limits of Lambda in this account; None if they cannot be read."""
    try:
        limit = functions.get_account_settings()["AccountLimit"]
    except (ClientError, BotoCoreError):
        return None
    return Account(limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"])


def protect(cloudformation: Any, name: str) -> None:
    """Make CloudFormation refuse every update of the stack that would replace or remove its stored data."""
    cloudformation.set_stack_policy(StackName=name, StackPolicyBody=STACK_POLICY.read_text())

"""Patches of IAM: batches need the permission of single messages; what roles ask for is logged."""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Callable
from typing import Any

log = logging.getLogger("coatcheck.iam")

Enforce = Callable[..., Any]

MAX_KINDS = 10_000
"""Kinds of decisions that are told apart: beyond that, none is logged."""

_NAMES = re.compile(r"[a-z]{3}_[0-9a-v]{26}|\d{13}|[0-9a-f]{64}")
"""The parts of a resource's name that differ from one job to the next."""


_SINGLE = {
    f"sqs:{operation}Batch": f"sqs:{operation}"
    for operation in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")
}


def check_single_actions(enforce: Enforce) -> Enforce:
    """Wrap `enforce` to ask for the permission that a batch of SQS needs on AWS. MiniStack asks for one of its own.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """

    def enforced(access_key_id: str, action: str, *arguments: Any, **more: Any) -> Any:
        return enforce(access_key_id, _SINGLE.get(action, action), *arguments, **more)

    return enforced


def log_decisions(role_of: Callable[[str], str], enforce: Enforce) -> Enforce:
    """Wrap `enforce` to log each decision on a role the first time: a refusal as a warning.

    `role_of` returns the name of the role that has an access key, or nothing.

    A refusal may be all there is to see of a missing permission, where the code that meets it goes on.
    """
    seen: set[tuple[str, ...]] = set()

    def enforced(
        access_key_id: str, action: str, service: str, region: str, resource_arn: str = "*", **more: Any
    ) -> Any:
        denial = enforce(access_key_id, action, service, region, resource_arn, **more)
        role = role_of(access_key_id)
        decision = "allows" if denial is None else "denies"
        kind = (role, action, _NAMES.sub("*", resource_arn), decision)
        if role and kind not in seen and len(seen) < MAX_KINDS:
            seen.add(kind)
            level = logging.INFO if denial is None else logging.WARNING
            log.log(level, "IAM %s %s %s on %s", decision, role, action, resource_arn)
        return denial

    return enforced


@functools.lru_cache(maxsize=1000)
def role_of(access_key_id: str) -> str:
    """Return the name of the role that has the access key, or nothing."""
    evaluator = importlib.import_module("ministack.core.iam_evaluator")
    account = importlib.import_module("ministack.core.responses").get_account_id()
    arn = str(getattr(evaluator.resolve_principal(access_key_id, account), "arn", ""))
    return arn.split("/")[1] if ":assumed-role/" in arn else ""

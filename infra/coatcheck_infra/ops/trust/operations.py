"""The operations of the commands: they find the deployment, and read or replace its trust policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.trust_items import get_trust_policy, put_trust_policy
from coatcheck.core.clock import SECOND
from coatcheck.core.trust_policy import BadTrustPolicy, TrustPolicy
from coatcheck_infra.ops.error_reports import report_errors
from coatcheck_infra.ops.target_deployment import TargetDeployment, find_deployment
from coatcheck_service.trust_cache import TTL


def show(stack: str | None) -> None:
    """Print the policy. Raises CoatcheckError, and typer.Exit after it has reported an error of AWS."""
    with _deployment(stack) as target:
        policy = target.aws.send(get_trust_policy(target.settings.table))
    print(policy.model_dump_json(indent=2, exclude_defaults=True))


def replace(stack: str | None, file: Path) -> None:
    """Replace the policy by that of `file`. Raises as `show` does."""
    try:
        policy = TrustPolicy.parse(file.read_bytes())
    except BadTrustPolicy as bad:
        raise InvalidArgumentError("\n".join(f"{file}: {line}" for line in str(bad).splitlines())) from None
    with _deployment(stack) as target:
        target.aws.send(put_trust_policy(target.settings.table, policy))
    trusted = f"issuers: {len(policy.issuers)}, callers: {len(policy.callers)}"
    print(f"{trusted}; known everywhere in {TTL // SECOND} s")


@contextmanager
def _deployment(stack: str | None) -> Iterator[TargetDeployment]:
    with report_errors("trust"):
        try:
            yield find_deployment(stack, os.environ, Path.cwd())
        except NewerRow as error:
            raise InvalidArgumentError(f"{error}: use the command of that version") from None

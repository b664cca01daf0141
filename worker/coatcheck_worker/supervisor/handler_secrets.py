"""The secrets that handlers ask their context for."""

from __future__ import annotations

import os

from coatcheck.core.aws.secrets_manager import find_secret_text
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor.handler_environment import environment_for_handlers

DECLARED_IN = "[tool.coatcheck.handlers] secrets"


def read_secret(dependencies: Dependencies, variable: str) -> str:
    """Return the secret that handlers call `variable`, as it is now or was less than five minutes ago.

    Raises LookupError if there is no such secret, and AwsError if Secrets Manager does not give it.
    """
    declared = dependencies.settings.secrets
    if declared is None:
        return _of_environment(variable)
    if variable not in declared:
        raise LookupError(
            f"the secret {variable} is not declared: add it to {DECLARED_IN} in pyproject.toml, with its name in "
            "Secrets Manager, and deploy"
        )
    now = dependencies.clock()
    value = dependencies.secrets.get(variable, now)
    if value is None:
        value = dependencies.transport.send(find_secret_text(declared[variable]))
        if value is None:
            raise LookupError(
                f"the secret {variable} has no text in Secrets Manager: store it there as {declared[variable]}, in the "
                "stack's region"
            )
        dependencies.secrets.keep(variable, value, now)
    return value


def _of_environment(variable: str) -> str:
    # the worker's own credentials are variables too, and handlers do not have them
    value = environment_for_handlers(os.environ, {}).get(variable)
    if value is None:
        raise LookupError(
            f"there is no secret {variable}: set the environment variable {variable} of the worker, or of "
            f"coatcheck up; on AWS add it to {DECLARED_IN} in pyproject.toml"
        )
    return value

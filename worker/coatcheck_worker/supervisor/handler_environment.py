"""The environment of the processes that run handlers."""

from __future__ import annotations

from collections.abc import Mapping

SECRET_VARIABLES = frozenset(
    {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
        *("AWS_LAMBDA_RUNTIME_API", "_X_AMZN_TRACE_ID"),
    }
)
"""Variables by which a process gets the worker's own credentials, or speaks to Lambda in its name."""

KEPT_SETTINGS = frozenset({"COATCHECK_JOBS"})
"""The settings of ours that a runner needs."""


def environment_for_handlers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of handlers: without credentials, and without settings that they do not need.

    botocore would find the credentials of the machine without variables as well: that is switched off.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in SECRET_VARIABLES and (not name.startswith("COATCHECK_") or name in KEPT_SETTINGS)
    }
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true"}

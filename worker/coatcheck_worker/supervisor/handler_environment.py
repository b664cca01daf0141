"""The environment of the processes that run handlers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import Settings

SECRET_VARIABLES = frozenset(
    {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
        *("AWS_LAMBDA_RUNTIME_API", "_X_AMZN_TRACE_ID"),
        *("ECS_AGENT_URI", "ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4"),
    }
)
"""Variables by which a process gets the worker's own credentials, or speaks to Lambda or ECS in its name."""

KEPT_SETTINGS = frozenset({"COATCHECK_JOBS"})
"""The settings of ours that a runner needs."""


def environment_for_handlers(environ: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of handlers: without the worker's credentials and settings, and with `more`.

    botocore would find the credentials of the machine without variables as well: that is switched off.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name not in SECRET_VARIABLES and (not name.startswith("COATCHECK_") or name in KEPT_SETTINGS)
    }
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **more}


def handler_environment(transport: Transport, settings: Settings) -> dict[str, str]:
    """Return the environment of this process's handlers, with an endpoint for the credentials of their role if any."""
    if not settings.handler_role:
        return environment_for_handlers(os.environ, {})
    from coatcheck_worker.supervisor.handler_credentials import HandlerCredentials  # noqa: PLC0415 - loads a web server

    endpoint = HandlerCredentials(transport, settings.handler_role, system_clock)
    return environment_for_handlers(os.environ, endpoint.environment)

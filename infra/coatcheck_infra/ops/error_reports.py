"""Reports errors of AWS to the owner in one line, with an exit code."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import typer
from botocore.exceptions import BotoCoreError, ClientError

from coatcheck.cli import exit_codes
from coatcheck.cli.display import print_message
from coatcheck.core.aws.call import PERMISSION_CODES, AwsError, AwsUnavailable
from coatcheck.core.settings import BadSettings
from coatcheck_infra.ops.audit_file import VARIABLE, audit_file

SIGN_IN = "sign in (`aws sso login`), or set AWS_PROFILE to a profile that is allowed to"
REGION = "set AWS_DEFAULT_REGION, or AWS_PROFILE to a profile that has one"

_UNKNOWN = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
_UNSIGNED = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "UnauthorizedSSOTokenError")
_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException")

ADVICE: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            PERMISSION_CODES,
            (exit_codes.UNAUTHORIZED, "these AWS credentials lack a permission; docs/operate.md lists those needed"),
        ),
        **dict.fromkeys(
            _UNKNOWN, (exit_codes.UNAUTHORIZED, f"these AWS credentials are unknown or have expired: {SIGN_IN}")
        ),
        **dict.fromkeys(_UNSIGNED, (exit_codes.UNAUTHORIZED, f"there are no AWS credentials: {SIGN_IN}")),
        **dict.fromkeys(_GONE, (exit_codes.USAGE, "this deployment has no such queue or table")),
        "NoRegionError": (exit_codes.USAGE, f"no AWS region: {REGION}"),
        "ProfileNotFound": (exit_codes.USAGE, "AWS_PROFILE names a profile that this machine does not have"),
    }
)
"""The exit code and the advice for an error, by AWS's error code or the SDK's exception name."""


_SILENT = logging.NullHandler()


@contextmanager
def report_errors(command: str) -> Iterator[None]:
    """Report an error of AWS or of the settings in one line of `coatcheck <command>`, and exit with its code."""
    # without a handler, Python would print the core's log lines beside that line
    logging.getLogger("coatcheck").addHandler(_SILENT)
    try:
        with audit_file(Path(file) if (file := os.environ.get(VARIABLE)) else None):
            yield
    except BadSettings as error:
        _end(command, exit_codes.USAGE, str(error))
    except AwsError as error:
        unadvised = exit_codes.UNREACHABLE if isinstance(error, AwsUnavailable) else exit_codes.SERVER_ERROR
        _end_with(command, error.code, f"{error.call.service} {error.call.operation}", unadvised)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        _end_with(command, code, f"cloudformation {error.operation_name}", exit_codes.SERVER_ERROR)
    except BotoCoreError as error:
        _end_with(command, type(error).__name__, "AWS", exit_codes.UNREACHABLE)


def _end_with(command: str, code: str, what: str, unadvised: int) -> None:
    status, advice = ADVICE.get(code, (unadvised, "AWS failed, or could not be reached"))
    _end(command, status, f"{what}: {code}: {advice}")


def _end(command: str, status: int, line: str) -> None:
    print_message(f"coatcheck {command}: {line}")
    raise typer.Exit(status) from None

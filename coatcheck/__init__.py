"""Coatcheck: jobs that do not fit in an HTTP request. What owners and clients use, and no more, is exported here.

Owners write job types (`job`, `JobType`), confine in them what reads hostile files (`confined`), and test them
(`run_job`). Clients submit jobs and fetch results (`Client`), and check webhooks (`verify`). Each name is loaded when
it is first used: a client imports nothing that only an author of job types needs, and the other way round. What is not
exported here is private.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coatcheck import confined
    from coatcheck.authoring.context import Context, Stopped
    from coatcheck.authoring.retry import Reject, RetryLater, RetryPolicy
    from coatcheck.authoring.testing import Artifact, LocalContext, Outcome, run_job
    from coatcheck.authoring.types import Continue, JobType, Result, hours, job, minutes
    from coatcheck.authoring.upload import Upload
    from coatcheck.client.exceptions import (
        CoatcheckError,
        ConnectionFailed,
        InvalidArgumentError,
        NoServerError,
        NotFinished,
        ProblemError,
        TransferFailed,
        UnexpectedResponseError,
    )
    from coatcheck.client.job import Job
    from coatcheck.client.sync_client import Client
    from coatcheck.core.signature import BadSignature, verify

__all__ = [
    "Artifact",
    "BadSignature",
    "Client",
    "CoatcheckError",
    "ConnectionFailed",
    "Context",
    "Continue",
    "InvalidArgumentError",
    "Job",
    "JobType",
    "LocalContext",
    "NoServerError",
    "NotFinished",
    "Outcome",
    "ProblemError",
    "Reject",
    "Result",
    "RetryLater",
    "RetryPolicy",
    "Stopped",
    "TransferFailed",
    "UnexpectedResponseError",
    "Upload",
    "confined",
    "hours",
    "job",
    "minutes",
    "run_job",
    "verify",
]

_EXPORTS = {
    "authoring.context": ("Context", "Stopped"),
    "authoring.retry": ("Reject", "RetryLater", "RetryPolicy"),
    "authoring.testing": ("Artifact", "LocalContext", "Outcome", "run_job"),
    "authoring.types": ("Continue", "JobType", "Result", "hours", "job", "minutes"),
    "authoring.upload": ("Upload",),
    "client.exceptions": (
        *("CoatcheckError", "ConnectionFailed", "InvalidArgumentError", "NoServerError"),
        *("NotFinished", "ProblemError", "TransferFailed", "UnexpectedResponseError"),
    ),
    "client.job": ("Job",),
    "client.sync_client": ("Client",),
    "core.signature": ("BadSignature", "verify"),
}
"""The module below this package that each exported name is in."""

_PACKAGES = ("confined",)
"""The packages below this one that are exported as they are."""

_MODULES = {name: f"{__name__}.{module}" for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

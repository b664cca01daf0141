"""Requests to the Security Token Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coatcheck.core.aws.call import Call
from coatcheck.core.clock import SECOND

SESSION_SECONDS = 3600
"""How long a session of an assumed role lasts. It is the most for a role that is assumed by a role:
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html (role chaining)
"""


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """Credentials of a role, which end at `expires_at` (milliseconds since the epoch)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int


def assume_role(role: str, session: str) -> Call[TemporaryCredentials]:
    """Credentials of the role with this ARN. `session` names them in the logs of AWS."""
    params = {"RoleArn": role, "RoleSessionName": session, "DurationSeconds": SESSION_SECONDS}
    return Call("sts", "AssumeRole", params, read=lambda answer: _credentials(answer["Credentials"]))


def _credentials(given: Mapping[str, Any]) -> TemporaryCredentials:
    expires_at = int(given["Expiration"].timestamp() * SECOND)
    return TemporaryCredentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], expires_at)

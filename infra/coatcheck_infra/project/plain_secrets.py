"""Finds secrets among the environment variables of handlers, which are no place for one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_NAME = re.compile(
    r"(^|_)(SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(API|ACCESS|SECRET|PRIVATE|SIGNING|ENCRYPTION)_?KEY)$",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"(arn:|https?://|/|.{0,7}$)")
"""Where a secret is, or too short for one."""

_VALUE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|(AKIA|ASIA)[A-Z0-9]{16}|\w+://[^/@:\s]+:[^/@\s]+@")
"""A private key, an access key of AWS, or a URL with a password, wherever it stands."""


def plain_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that seems to hold a secret. It does not repeat the value."""
    for name, value in environment.items():
        if (_NAME.search(name) and not _NO_SECRET.match(value)) or _VALUE.search(value):
            yield (
                f"tool.coatcheck.handlers.environment.{name} looks like a secret: whoever may see the template or the "
                "function can read it. Put it into Secrets Manager, and name it in handlers.secrets."
            )

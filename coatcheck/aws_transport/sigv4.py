"""Signature Version 4 of a POST with a body.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from coatcheck.aws_transport.credentials import AwsCredentials

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class CredentialScope:
    """What a signature is good for: a service's name in signatures, and a region."""

    service: str
    region: str


class Signer:
    """Signs requests within one scope. It keeps the key that it derives for each day."""

    def __init__(self, scope: CredentialScope) -> None:
        self._scope = scope
        self._derived: tuple[AwsCredentials, str, bytes] | None = None

    def sign(
        self, path: str, headers: Mapping[str, str], body: bytes, credentials: AwsCredentials, now: float
    ) -> dict[str, str]:
        """Return `headers` with what signs them. Their names are in lower case, and `host` is one of them.

        `now` is in seconds since the epoch. AWS takes no signature that is more than five minutes off.
        """
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        signed = {**headers, "x-amz-date": timestamp}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        in_order = sorted(signed.items())
        names = ";".join([name for name, _ in in_order])
        lines = "\n".join([f"{name}:{value.strip()}" for name, value in in_order])
        escaped = path if path == "/" else quote(path, safe="/~")
        canonical = f"POST\n{escaped}\n\n{lines}\n\n{names}\n{sha256(body).hexdigest()}"
        day = timestamp[:8]
        scope = f"{day}/{self._scope.region}/{self._scope.service}/aws4_request"
        to_sign = f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key(credentials, day), to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _key(self, credentials: AwsCredentials, day: str) -> bytes:
        derived = self._derived
        if derived is None or derived[0] != credentials or derived[1] != day:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._scope.region, self._scope.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            # one assignment: several threads may sign at once
            self._derived = derived = (credentials, day, key)
        return derived[2]

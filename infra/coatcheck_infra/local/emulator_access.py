"""What `up` and the emulator's launcher agree on about who may use the emulator. Needs the standard library alone."""

from __future__ import annotations

import hashlib
import hmac

ACCESS_VARIABLE = "COATCHECK_EMULATOR_ACCESS"
"""Set by `up` for the launcher: STORES or WHOLE. Where it is not set, the launcher refuses nobody."""

STORES = "stores"
WHOLE = "whole"

STORE_SERVICES = ("cloudformation", "dynamodb", "s3", "secretsmanager", "sqs")
"""The services of a plain `up`, by their names in signatures."""

PROXY_HEADER = "x-coatcheck-proxy"
"""Carries `proxy_token` on what the API Gateway proxy of `up --whole` forwards, which has no signature."""


def proxy_token(secret_access_key: str) -> str:
    """What only a process that has the secret key can send; the key cannot be found from it."""
    return hmac.new(secret_access_key.encode(), b"api gateway proxy", hashlib.sha256).hexdigest()

"""What `up` and the emulator's launcher share to control access to the emulator. Uses only the standard library."""

from __future__ import annotations

import hashlib
import hmac

ACCESS_VARIABLE = "COATCHECK_EMULATOR_ACCESS"
"""Set by `up` for the launcher: STORES or WHOLE. If it is not set, the launcher refuses no request."""

STORES = "stores"
WHOLE = "whole"

STORE_SERVICES = ("cloudformation", "dynamodb", "s3", "secretsmanager", "sqs")
"""The services of an `up` without --whole, by their names in signatures."""

PROXY_HEADER = "x-coatcheck-proxy"
"""Carries `proxy_token` in requests of the API Gateway proxy of `up --whole`, which have no signature."""


def proxy_token(secret_access_key: str) -> str:
    """Return a token that only a process with the secret key can compute. It does not reveal the key."""
    return hmac.new(secret_access_key.encode(), b"api gateway proxy", hashlib.sha256).hexdigest()

"""Requests to Secrets Manager."""

from __future__ import annotations

from coatcheck.core.aws.call import Call


def get_secret(name: str) -> Call[bytes]:
    """The current value of a secret, by its name or ARN."""
    return Call("secretsmanager", "GetSecretValue", {"SecretId": name}, lambda a: str(a["SecretString"]).encode())

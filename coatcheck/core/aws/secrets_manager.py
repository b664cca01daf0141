"""Requests to Secrets Manager."""

from __future__ import annotations

from coatcheck.core.aws.call import Call


def get_secret(name: str) -> Call[bytes]:
    """The current value of a secret, by its name or ARN."""
    return Call("secretsmanager", "GetSecretValue", {"SecretId": name}, lambda a: str(a["SecretString"]).encode())


def find_secret_text(name: str) -> Call[str | None]:
    """The current value of a secret, by its name or ARN; None if there is no such secret, or none that is a text."""
    return Call(
        "secretsmanager",
        "GetSecretValue",
        {"SecretId": name},
        lambda answer: answer.get("SecretString"),
        expected_errors={"ResourceNotFoundException": lambda _: None},
    )

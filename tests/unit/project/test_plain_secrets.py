"""Which environment variables of handlers get the warning that they look like secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from coatcheck_infra.project.plain_secrets import plain_secrets
from tests.unit.project.test_check import PYPROJECT, check

SECRETS = {
    "PAYMENTS_API_KEY": "0123456789abcdef",
    "DATABASE_PASSWORD": "correct horse",
    "token": "0123456789abcdef",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "BACKUP": "AKIAABCDEFGHIJKLMNOP",
    "DATABASE_URL": "postgres://app:hunter22@db.example.com/app",
}
HARMLESS = {
    "MODEL": "small",
    "SORT_KEY": "created_at",
    "TOKEN_LIMIT": "4096 tokens",
    "API_KEY": "none",
    "DATABASE_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db",
    "OAUTH_TOKEN": "https://issuer.example.com/token",
    "DATABASE_URL": "postgres://db.example.com/app",
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_gets_a_warning_that_does_not_repeat_it(name: str) -> None:
    (warning,) = plain_secrets({name: SECRETS[name]})
    assert f"environment.{name} looks like a secret" in warning
    assert SECRETS[name] not in warning


def test_what_is_no_secret_gets_none() -> None:
    assert list(plain_secrets(HARMLESS)) == []


def test_the_check_shows_it_and_passes(tmp_path: Path) -> None:
    settings = '\n[tool.coatcheck.handlers]\nenvironment = { API_KEY = "0123456789abcdef" }\n'
    code, _, errors = check(tmp_path, pyproject=PYPROJECT + settings)
    assert (code, errors.count("\n")) == (0, 1)
    assert "environment.API_KEY looks like a secret" in errors

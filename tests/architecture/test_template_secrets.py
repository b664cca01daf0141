"""No secret stands in what CloudFormation and Lambda show: neither in a parameter nor in a variable of a function."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.core.settings import PREFIX, Settings
from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.template import read_template

translation = functools.cache(translate_template)

SECRET_LIKE = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|PRIVATE", re.IGNORECASE)

NAMES_OF_SECRETS = {"COATCHECK_WEBHOOK_KEY": "WebhookKey"}
"""The variables that name a secret in Secrets Manager, by the resource that it is."""

ARNS_OF_SECRETS = {"ExistingWebhookKey": "(arn:[^ ]+:secretsmanager:[^ ]+)?"}
"""The parameters that name a secret in Secrets Manager, by what else they refuse."""

HELD = {
    # of versions before keys were in the table: SHA-256 of keys, read in containers for one version more
    "COATCHECK_API_KEYS",
    # each the name of a secret in Secrets Manager
    "COATCHECK_SECRETS",
    "COATCHECK_ORIGIN_SECRET",
    *NAMES_OF_SECRETS,
}
"""The settings that may be called so: none of them holds a secret itself."""


def variables() -> Iterator[tuple[str, str, Any]]:
    """Each variable of each function: whose, its name and its value."""
    for function, resource in translation()["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            for name, value in resource["Properties"].get("Environment", {}).get("Variables", {}).items():
                yield function, name, value


def test_no_variable_of_a_function_holds_a_secret() -> None:
    # what is empty, a project may fill: tests/architecture/test_cloudfront.py
    suspects = {name: value for _, name, value in variables() if SECRET_LIKE.search(name) and value}
    assert suspects.keys() == NAMES_OF_SECRETS.keys()
    for name, resource in NAMES_OF_SECRETS.items():
        # Ref of a secret is its ARN
        assert suspects[name]["Fn::If"][1:] == [{"Ref": resource}, {"Ref": f"Existing{resource}"}]
        assert translation()["Resources"][resource]["Type"] == "AWS::SecretsManager::Secret"


def test_no_parameter_takes_a_secret_but_by_its_arn() -> None:
    parameters = read_template()["Parameters"]
    suspects = {name for name, one in parameters.items() if SECRET_LIKE.search(name) and not one.get("NoEcho")}
    assert suspects == ARNS_OF_SECRETS.keys()
    assert {name: parameters[name]["AllowedPattern"] for name in suspects} == ARNS_OF_SECRETS


def test_no_setting_holds_a_secret() -> None:
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert {name for name in settings if SECRET_LIKE.search(name)} == HELD


@pytest.mark.parametrize(
    "form", [r"cc[ko]_[0-9a-v]{26}_", r"whsec_", r"AKIA[0-9A-Z]{16}", r"-----BEGIN", r"\{\{resolve:", r"[0-9a-f]{64}"]
)
def test_nothing_in_the_template_looks_like_a_secret_or_puts_one_in(form: str) -> None:
    # CloudFormation would show what `{{resolve:…}}` becomes wherever the function's configuration is shown
    assert not re.search(form, json.dumps(translation()))


def test_what_makes_a_secret_shows_it_nowhere() -> None:
    (made,) = (one for one in translation()["Resources"].values() if one["Type"] == "AWS::SecretsManager::Secret")
    assert "SecretString" not in made["Properties"]
    assert made["Properties"]["GenerateSecretString"]["PasswordLength"] >= 32
    outputs = json.dumps(translation()["Outputs"])
    assert "SecretString" not in outputs

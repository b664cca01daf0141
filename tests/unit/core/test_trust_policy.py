"""Whom a deployment trusts besides its keys: what a policy may say, and what it gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coatcheck.core.api_keys import TENANT_SCOPES, Scope
from coatcheck.core.trust_policy import BadTrustPolicy, TrustPolicy, claim, granted_scopes, role_arn

ISSUER = {"issuer": "https://login.example.com/pool", "audiences": ["jobs"]}
CALLER = {"arn": "arn:aws:iam::123456789012:role/importer", "tenant": "acme"}


def policy(**members: Any) -> TrustPolicy:
    return TrustPolicy.parse(json.dumps(members))


def issuer(**changes: Any) -> Any:
    return policy(issuers=[ISSUER | changes]).issuers[0]


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://login.example.com", True),
        ("https://login.example.com/", True),
        ("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI", True),
        ("https://login.example.com:8443/realms/a", True),
        ("http://127.0.0.1:9000", True),
        ("http://localhost/realms/a", True),
        ("http://login.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("https://login.example.com/?a=b", False),
        ("https://login.example.com/#a", False),
        ("https://a@login.example.com", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("", False),
    ],
)
def test_an_issuer_is_named_by_a_url_that_nobody_can_change_on_the_way(url: str, *, taken: bool) -> None:
    if taken:
        assert issuer(issuer=url).issuer == url
    else:
        with pytest.raises(BadTrustPolicy, match=r"issuers\.0\.issuer"):
            issuer(issuer=url)


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": []},
        {"audiences": [""]},
        {"algorithms": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"tenant": "no/tenant"},
        {"scopes": {"writers": ["jobs:everything"]}},
        {"leeway": 301},
        {"leeway": -1},
        {"jwks_uri": "https://elsewhere.example.com"},
    ],
    ids=json.dumps,
)
def test_what_an_issuer_may_not_say(changes: dict[str, Any]) -> None:
    with pytest.raises(BadTrustPolicy, match=r"issuers\.0"):
        issuer(**changes)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"issuer": 1}', "\ud800", '{"issuers": ' + "[" * 9000, " " * 70_000]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(BadTrustPolicy):
        TrustPolicy.parse(text)


def test_an_issuer_is_named_once() -> None:
    with pytest.raises(BadTrustPolicy, match="named twice"):
        policy(issuers=[ISSUER, ISSUER])


def test_a_policy_is_the_same_after_it_was_kept() -> None:
    made = policy(issuers=[ISSUER | {"scopes": {"all": ["admin", "jobs:read"]}}], callers=[CALLER])
    assert TrustPolicy.parse(made.model_dump_json(exclude_defaults=True)) == made


CLAIMS = {
    "scope": "jobs:read admin coatcheck/jobs:submit openid",
    "groups": ["writers", 7, "others"],
    "https://example.com/tenant": "acme",
    "realm": {"roles": ["jobs:cancel"], "a/b": "c"},
}


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({}, ["jobs:read"]),
        ({"scope_prefix": "coatcheck/"}, ["jobs:submit"]),
        ({"scopes_claim": "/realm/roles"}, ["jobs:cancel"]),
        ({"scopes_claim": "groups", "scopes": {"writers": ["jobs:submit", "jobs:read"]}}, ["jobs:read", "jobs:submit"]),
        ({"scopes_claim": "groups", "scopes": {"operators": ["admin"]}}, []),
        ({"scopes": {"admin": ["admin"]}}, ["admin"]),
        ({"scopes_claim": "realm"}, []),
        ({"scopes_claim": "none"}, []),
    ],
    ids=str,
)
def test_claims_give_scopes_and_never_the_owners_by_its_name_alone(changes: dict[str, Any], scopes: list[str]) -> None:
    assert sorted(granted_scopes(issuer(**changes), CLAIMS)) == scopes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("https://example.com/tenant", "acme"),
        ("/realm/a~1b", "c"),
        ("/realm/none/deeper", None),
        ("/scope/0", None),
        ("/", None),
        ("none", None),
    ],
)
def test_a_claim_is_a_name_or_a_pointer(name: str, value: object) -> None:
    assert claim(CLAIMS, name) == value


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::*:role/importer",
        "arn:aws:iam::12345678901?:role/importer",
        "arn:aws:iam::123456789012:role/path/importer",
        "arn:aws:s3:::bucket",
        "importer",
        "*",
        "arn:aws:iam::123456789012:role/a b",
    ],
)
def test_a_caller_is_of_one_account_and_its_role_has_no_path(arn: str) -> None:
    with pytest.raises(BadTrustPolicy, match=r"callers\.0\.arn"):
        policy(callers=[CALLER | {"arn": arn}])


SESSION = "arn:aws:sts::123456789012:assumed-role/importer/i-0a1b2c"


@pytest.mark.parametrize(
    ("arn", "tenant"),
    [
        (SESSION, "one"),
        ("arn:aws:iam::123456789012:role/importer", "one"),
        ("arn:aws:sts::123456789012:assumed-role/import-7/session/with/slashes", "many"),
        ("arn:aws:iam::123456789012:user/team/ann", "people"),
        ("arn:aws:sts::123456789012:federated-user/ann", None),
        ("arn:aws:sts::210987654321:assumed-role/importer/i-0a1b2c", None),
        ("arn:aws-cn:sts::123456789012:assumed-role/importer/i-0a1b2c", None),
        ("arn:aws:sts::123456789012:assumed-role/other/role/importer", None),
        ("arn:aws:sts::123456789012:assumed-role/importer", None),
        (f"x{SESSION}", None),
        ("arn:aws:iam::123456789012:role/importer\n", None),
        ("", None),
    ],
)
def test_the_first_rule_for_a_callers_arn_decides(arn: str, tenant: str | None) -> None:
    start = "arn:aws:iam::123456789012:"
    made = policy(
        callers=[
            {"arn": f"{start}role/importer", "tenant": "one", "scopes": ["jobs:submit"]},
            {"arn": f"{start}role/import*", "tenant": "many"},
            {"arn": f"{start}user/team/???", "tenant": "people"},
        ]
    )
    found = made.caller_of(arn)
    assert (found and found.tenant) == tenant


def test_a_caller_has_the_scopes_of_its_rule_or_all_of_a_tenant() -> None:
    assert policy(callers=[CALLER]).callers[0].scopes == TENANT_SCOPES
    assert policy(callers=[CALLER | {"scopes": ["jobs:read"]}]).callers[0].scopes == {Scope.JOBS_READ}


def test_a_session_is_named_by_its_role() -> None:
    assert role_arn(SESSION) == "arn:aws:iam::123456789012:role/importer"

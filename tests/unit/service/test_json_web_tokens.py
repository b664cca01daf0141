"""What a token must be to be taken, claim by claim and trick by trick; its issuer is a real one, over HTTP."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from coatcheck.core.clock import HOUR, SECOND, system_clock
from coatcheck.core.errors import Forbidden, Unauthenticated, Unavailable
from coatcheck.core.principal import Principal
from coatcheck.core.trust_policy import TrustPolicy
from coatcheck_service.issuer_keys import FETCH_INTERVAL, FRESH, KEPT, FetchFailed, IssuerKeys, fetch_json
from coatcheck_service.json_web_tokens import read_keys, read_token, verify_token
from tests.oidc_issuer import (
    AUDIENCE,
    DISCOVERY,
    KEYS,
    OidcIssuer,
    claims_of,
    encoded,
    new_rsa_key,
    public_keys,
    run_issuer,
    sign,
)

URL = "http://127.0.0.1:1"
RSA = new_rsa_key("rsa")
OTHER = new_rsa_key("rsa")
EC = ECKey.generate_key("P-256", {"kid": "ec"})
NOW = system_clock()
SECONDS = NOW // 1000


def verify(token: str, keys: dict[str, Any] | None = None, **changes: Any) -> Principal:
    """What the service does with a token once it has the keys of the issuer."""
    rules = {"issuer": URL, "audiences": [AUDIENCE, "client-1"]} | changes
    issuer = TrustPolicy.parse(json.dumps({"issuers": [rules]})).issuers[0]
    unverified = read_token(token)
    key = read_keys(keys or public_keys(RSA, EC))[unverified.key_id]
    return verify_token(unverified, key, issuer, now=NOW)


def signed(key: RSAKey | ECKey = RSA, algorithm: str = "RS256", **changes: Any) -> str:
    return sign(good_claims(**changes), key, algorithm)


def good_claims(**changes: Any) -> dict[str, Any]:
    return claims_of(URL, **{"iat": SECONDS, "exp": SECONDS + 300} | changes)


GOOD = {
    "RS256": signed(),
    "ES256": signed(EC, "ES256"),
    "one of several audiences": signed(aud=["others", AUDIENCE]),
    "a client id where there is no audience": signed(aud=None, client_id="client-1", token_use="access"),
    "just within the leeway": signed(exp=SECONDS - 29, nbf=SECONDS + 29),
    "a header that nobody knows": sign(good_claims(), RSA, nonce="n", typ="at+jwt"),
    "a header that says where keys are, which nobody reads": sign(good_claims(), RSA, jku="https://evil.example.com"),
}


@pytest.mark.parametrize("token", GOOD.values(), ids=GOOD.keys())
def test_a_token_of_the_issuer_is_its_tenants(token: str) -> None:
    principal = verify(token)
    assert (principal.tenant, principal.subject) == ("acme", "someone")
    assert principal.scopes == {"jobs:read"}
    assert principal.expires_at is not None
    assert principal.expires_at > NOW


def by_hand(header: dict[str, Any], signature: str = "") -> str:
    return f"{encoded(header)}.{encoded(good_claims())}.{signature}"


def hs256_with_the_public_key() -> str:
    signing_input = by_hand({"alg": "HS256", "kid": "rsa"}).removesuffix(".")
    return f"{signing_input}.{encoded(hmac.digest(RSA.as_pem(private=False), signing_input.encode(), 'sha256'))}"


def with_its_own_key() -> str:
    return sign(good_claims(), OTHER, jwk=OTHER.as_dict(private=False))


def with_another_payload() -> str:
    header, _, signature = signed().split(".")
    return f"{header}.{encoded(good_claims(tenant='other'))}.{signature}"


BAD = {
    "alg none": by_hand({"alg": "none", "kid": "rsa"}),
    "alg None": by_hand({"alg": "nOnE", "kid": "rsa"}),
    "no alg": by_hand({"kid": "rsa"}),
    "an alg that is a list": by_hand({"alg": ["RS256"], "kid": "rsa"}),
    "HS256 with the public key": hs256_with_the_public_key(),
    "an algorithm that is not pinned": signed(algorithm="RS512"),
    "another algorithm than the key's": sign(good_claims(), EC, "ES256", kid="rsa"),
    "a key of its own in the header": with_its_own_key(),
    "another's key under the same id": sign(good_claims(), OTHER),
    "another payload": with_another_payload(),
    "no signature": by_hand({"alg": "RS256", "kid": "rsa"}),
    "a critical header": by_hand({"alg": "RS256", "kid": "rsa", "crit": ["exp"], "exp": 1}, signed().split(".")[2]),
    "an unencoded payload": by_hand({"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]}, "AA"),
    "no kid": by_hand({"alg": "RS256"}, "AA"),
    "a kid that is no text": by_hand({"alg": "RS256", "kid": {"a": 1}}, "AA"),
    "a kid without end": by_hand({"alg": "RS256", "kid": "k" * 600}, "AA"),
    "a header that is a list": f"{encoded(b'[1]')}.{encoded(good_claims())}.AA",
    "a payload that is a list": f"{encoded({'alg': 'RS256', 'kid': 'rsa'})}.{encoded(b'[]')}.AA",
    "a payload that is nested without end": f"{encoded({'alg': 'RS256', 'kid': 'rsa'})}.{encoded(b'[' * 6000)}.AA",
    "no base64": "eyJ.!!.AA",
    "expired": signed(exp=SECONDS - 31),
    "no exp": signed(exp=None),
    "an exp that is text": signed(exp="never"),
    "an exp that is true": signed(exp=True),
    "an endless exp": signed(exp=float("inf")),
    "an exp that is endless in milliseconds": signed(exp=1e308),
    "an exp that is no number": signed(exp=float("nan")),
    "not yet": signed(nbf=SECONDS + 31),
    "issued in the future": signed(iat=SECONDS + 31),
    "another issuer": sign(good_claims(iss="https://other.example.com"), RSA),
    "no issuer": signed(iss=None),
    "an issuer that is a list": signed(iss=[URL]),
    "another audience": signed(aud="others"),
    "no audience": signed(aud=None),
    "an empty audience": signed(aud=[]),
    "another client": signed(aud=None, client_id="others"),
    "another audience, though the client is ours": signed(aud="others", client_id="client-1"),
    "an id token": signed(token_use="id"),
    "a subject that is no text": signed(sub={"a": 1}),
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(token)


@pytest.mark.parametrize("tenant", [None, "", "a/b", "acme\n", ["acme"], 7, "a" * 65, "#keys"])
def test_a_token_without_a_tenant_is_forbidden(tenant: object) -> None:
    with pytest.raises(Forbidden, match="names no tenant in its claim `tenant`"):
        verify(signed(tenant=tenant))


def test_an_issuer_may_have_one_tenant_whatever_its_tokens_say() -> None:
    assert verify(signed(tenant="other"), tenant="acme").tenant == "acme"


def test_id_tokens_are_taken_where_the_policy_says_so() -> None:
    assert verify(signed(token_use="id"), token_use="id").tenant == "acme"
    with pytest.raises(Unauthenticated):
        verify(signed(token_use="access"), token_use="id")


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"keys": "none"},
        {"keys": [None, 1, "a", {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-0", "kid": "a"}]},
        {"keys": [{"kty": "oct", "k": "AA", "kid": "rsa"}]},
        {"keys": [RSA.as_dict(private=False) | {"use": "enc"}]},
        {"keys": [{"kty": "RSA", "kid": "short", "e": "AQAB", "n": encoded(b"\xff" * 128)}]},
        {"keys": [{name: value for name, value in RSA.as_dict(private=False).items() if name != "kid"}]},
    ],
    ids=["nothing", "no list", "no keys", "a secret", "for encryption", "a short one", "without an id"],
)
def test_keys_that_cannot_have_signed_are_left_out(keys: dict[str, Any]) -> None:
    assert read_keys(keys) == {}


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with run_issuer(RSA) as running:
        yield running


async def test_keys_are_fetched_once_and_again_when_they_are_old(issuer: OidcIssuer) -> None:
    keys = IssuerKeys(issuer.url, fetch_json)
    for now in (NOW, NOW + 1, NOW + FRESH - 1):
        assert await keys.get("rsa", now=now)
    assert issuer.asked == {DISCOVERY: 1, KEYS: 1}
    assert await keys.get("rsa", now=NOW + FRESH)
    # nobody waited for these
    assert await keys.get("none", now=NOW + FRESH) is None
    assert issuer.asked == {DISCOVERY: 2, KEYS: 2}


async def test_an_unknown_key_id_is_looked_up_at_a_bounded_rate(issuer: OidcIssuer) -> None:
    keys = IssuerKeys(issuer.url, fetch_json)
    for at in range(100):
        assert await keys.get(f"made-up-{at}", now=NOW + at) is None
    assert issuer.asked[KEYS] == 1
    issuer.documents[KEYS] = public_keys(EC)
    assert await keys.get("ec", now=NOW + FETCH_INTERVAL)
    assert await keys.get("rsa", now=NOW + FETCH_INTERVAL) is None


async def test_an_issuer_that_is_down_is_no_fault_of_the_token_and_old_keys_go_on(issuer: OidcIssuer) -> None:
    keys = IssuerKeys(issuer.url, fetch_json)
    issuer.status = 500
    with pytest.raises(Unavailable) as refused:
        await keys.get("rsa", now=NOW)
    assert refused.value.retry_after == FETCH_INTERVAL // SECOND
    with pytest.raises(Unavailable):
        await keys.get("rsa", now=NOW + 1)
    assert issuer.asked[DISCOVERY] == 1

    issuer.status = 200
    start = NOW + FETCH_INTERVAL
    assert await keys.get("rsa", now=start)
    issuer.status = 500
    for hours in (2, 12, 23):
        assert await keys.get("rsa", now=start + hours * HOUR)
        with pytest.raises(Unavailable):
            await keys.get("none", now=start + hours * HOUR + 1)
    with pytest.raises(Unavailable):
        await keys.get("rsa", now=start + KEPT)


@pytest.mark.parametrize(
    ("discovery", "status"),
    [
        ({"issuer": "https://other.example.com", "jwks_uri": "{url}/keys"}, 200),
        ({"jwks_uri": "{url}/keys"}, 200),
        ({"issuer": "{url}"}, 200),
        ({"issuer": "{url}", "jwks_uri": "file:///etc/passwd"}, 200),
        ({"issuer": "{url}", "jwks_uri": "http://169.254.169.254/keys"}, 200),
        ({"issuer": "{url}", "jwks_uri": ["{url}/keys"]}, 200),
        ({"issuer": "{url}", "jwks_uri": "{url}/keys"}, 302),
        ({"issuer": "{url}", "jwks_uri": "{url}/keys", "more": "x" * 300_000}, 200),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_keys_come_from_the_issuer_alone(issuer: OidcIssuer, discovery: dict[str, Any], status: int) -> None:
    issuer.documents[DISCOVERY] = json.loads(json.dumps(discovery).replace("{url}", issuer.url))
    issuer.status = status
    with pytest.raises(Unavailable):
        await IssuerKeys(issuer.url, fetch_json).get("rsa", now=NOW)
    assert issuer.asked == {DISCOVERY: 1}


async def test_an_issuer_of_elsewhere_leads_to_no_server_of_this_machine() -> None:
    asked = []

    async def fetch(url: str) -> dict[str, Any]:
        asked.append(url)
        return {"issuer": "https://login.example.com/", "jwks_uri": "http://127.0.0.1:1/keys"}

    with pytest.raises(Unavailable):
        await IssuerKeys("https://login.example.com/", fetch).get("rsa", now=NOW)
    assert asked == ["https://login.example.com/.well-known/openid-configuration"]


async def test_what_cannot_be_fetched_is_said_in_one_line() -> None:
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1:1/a: ClientConnectorError"):
        await fetch_json("http://127.0.0.1:1/a")


@settings(max_examples=40)
@given(
    st.one_of(st.text(), st.binary(max_size=60).map(encoded)),
    st.sampled_from(["", ".", "..", ".AA", "A", "=", "\x00"]),
    st.sampled_from([signed().split(".", 1)[1], ".", "..", ""]),
)
def test_no_text_at_all_is_an_error_of_ours(start: str, middle: str, end: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(start + middle + end)
    with pytest.raises(Unauthenticated):
        verify(f"{encoded({'alg': 'RS256', 'kid': 'rsa', 'more': start})}{middle}{end}")


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.floats() | st.text(), st.lists), max_size=3))
def test_no_claims_at_all_are_an_error_of_ours(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        verify(sign(claims, RSA))

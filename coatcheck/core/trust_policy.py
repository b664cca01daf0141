"""The trust policy of a deployment: whom the API trusts besides its own keys, and what it lets them do.

An owner writes it as JSON. It is data of the table, so that a change is no deploy (docs/adr/0131).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from coatcheck.core.api_keys import TENANT_SCOPES, Scope
from coatcheck.core.messages import Tenant

MAX_POLICY_BYTES = 64 * 1024
"""Bytes of JSON. Every process of the API keeps the policy, and an item of the table may have 400 KB."""

MAX_SUBJECT_LENGTH = 200

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""What a token may be signed with. All have public keys: an issuer shares no secret with a deployment."""

LOOPBACK_URL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[!-~]*)?")
_HTTPS_URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?")

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
_ARN_PATTERN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[A-Za-z0-9+=,.@_/*?-]+")
_ROLE_WITH_PATH = re.compile(r"role/.*/")
_ASSUMED_ROLE = re.compile(r"(arn:[^:]*):sts::([0-9]{12}):assumed-role/([^/]+)/.*")


class BadTrustPolicy(Exception):
    """A trust policy is not valid. The message has one line for each fault."""


def is_fetchable(url: str) -> bool:
    """Whether keys may be fetched from a URL: over https, or from this machine, without query and fragment."""
    plain = not re.search(r"[?#@\\]", url)
    return plain and bool(_HTTPS_URL.fullmatch(url) or LOOPBACK_URL.fullmatch(url))


def _issuer_url(url: str) -> str:
    if not is_fetchable(url):
        raise ValueError("should be a URL with https, as https://login.example.com (http for this machine alone)")
    return url


def _arn_pattern(pattern: str) -> str:
    if not _ARN_PATTERN.fullmatch(pattern):
        raise ValueError(
            "should be the ARN of a user or role of one account, as arn:aws:iam::123456789012:role/importer; "
            "* and ? may stand for characters of its name"
        )
    if _ROLE_WITH_PATH.match(pattern.split(":", 5)[5]):
        raise ValueError("should name the role without its path: AWS says only the name of a role that is assumed")
    return pattern


class _Trusted(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class Issuer(_Trusted):
    """An issuer of JSON Web Tokens, and what the claims in them mean here.

    `audiences` are the audiences, or for tokens without one the client ids, that are meant for this deployment. A claim
    is a name, or a JSON pointer (RFC 6901) where it begins with a slash. `tenant` is the tenant of all tokens; without
    it, the claim `tenant_claim` names the tenant. `scopes` gives scopes for values of the claim `scopes_claim`; without
    it, the values are the scopes themselves, after `scope_prefix`. `leeway` is in seconds.
    """

    issuer: Annotated[str, Field(max_length=512), AfterValidator(_issuer_url)]
    audiences: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=512)], ...], Field(min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256")
    token_use: Literal["access", "id"] = "access"  # noqa: S105 - a kind of token
    tenant: Tenant | None = None
    tenant_claim: Annotated[str, Field(min_length=1, max_length=256)] = "tenant"
    scopes_claim: Annotated[str, Field(min_length=1, max_length=256)] = "scope"
    scope_prefix: Annotated[str, Field(max_length=256)] = ""
    scopes: Mapping[str, frozenset[Scope]] = Field(default_factory=dict)
    leeway: Annotated[int, Field(ge=0, le=300)] = 30


class Caller(_Trusted):
    """Callers inside AWS, by the ARN of the user or role that signs their requests. Its name may have `*` and `?`."""

    arn: Annotated[str, Field(max_length=512), AfterValidator(_arn_pattern)]
    tenant: Tenant
    scopes: frozenset[Scope] = frozenset(Scope(name) for name in TENANT_SCOPES)

    def matches(self, arn: str) -> bool:
        """Whether an ARN, as `role_arn` returns it, is one of these."""
        pattern = re.escape(self.arn).replace(r"\*", r"[^:\s]*").replace(r"\?", r"[^:\s]")
        return bool(re.fullmatch(pattern, arn))


class TrustPolicy(_Trusted):
    """Whom the API trusts besides its keys. Of callers, the first that matches decides."""

    issuers: Annotated[tuple[Issuer, ...], Field(max_length=100)] = ()
    callers: Annotated[tuple[Caller, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _one_of_each_issuer(self) -> Self:
        if len({one.issuer for one in self.issuers}) < len(self.issuers):
            raise ValueError("an issuer is named twice")
        return self

    @classmethod
    def parse(cls, text: str | bytes) -> TrustPolicy:
        """Read a policy from JSON. Raises BadTrustPolicy."""
        if len(text) > MAX_POLICY_BYTES:
            raise BadTrustPolicy(f"it is longer than {MAX_POLICY_BYTES} bytes")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            faults = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
            raise BadTrustPolicy("\n".join(f"{where or 'it'}: {what}" for where, what in faults)) from None

    def issuer_of(self, claimed: object) -> Issuer | None:
        """Return the issuer that a token's `iss` names."""
        return next((one for one in self.issuers if one.issuer == claimed), None)

    def caller_of(self, arn: str) -> Caller | None:
        """Return the rule for the user or role with this ARN, as AWS names it in a request."""
        named = role_arn(arn)
        return next((one for one in self.callers if one.matches(named)), None)


def role_arn(arn: str) -> str:
    """Return the ARN of the role of a session (`assumed-role`), without the role's path; any other ARN as it is."""
    found = _ASSUMED_ROLE.fullmatch(arn)
    return f"{found[1]}:iam::{found[2]}:role/{found[3]}" if found else arn


def claim(claims: Mapping[str, Any], name: str) -> object:
    """Return a claim by its name, or by a JSON pointer into the claims; None if there is none."""
    if not name.startswith("/"):
        return claims.get(name)
    found: object = claims
    for part in name[1:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def granted_scopes(issuer: Issuer, claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes that a token of `issuer` gives. What is no scope of a tenant gives none.

    Only `scopes` of the policy can give the scope of the owner: `admin` is a scope of many other APIs too.
    """
    values = claim(claims, issuer.scopes_claim)
    # RFC 8693, 4.2: separated by spaces; Entra, Okta and groups are lists
    listed = values.split(" ") if isinstance(values, str) else values if isinstance(values, list) else []
    texts = {value for value in listed if isinstance(value, str)}
    if issuer.scopes:
        return frozenset(str(scope) for text in texts for scope in issuer.scopes.get(text, ()))
    prefixed = {text.removeprefix(issuer.scope_prefix) for text in texts if text.startswith(issuer.scope_prefix)}
    return frozenset(prefixed) & TENANT_SCOPES

"""Patches that let only the processes of one `up` use MiniStack: see ADR 109."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlencode
from xml.sax.saxutils import escape

from coatcheck_infra.local.emulator_access import PROXY_HEADER, STORE_SERVICES, proxy_token

Function = Callable[..., Any]

HEALTH_PATH = "/_ministack/health"
_API_PATH = re.compile(r"/restapis/[^/]+/[^/]+/_user_request_(/.*)?")
_ROUTING_HEADERS = {b"authorization", b"x-amz-target"}
"""With these, MiniStack would route a presigned request to a service other than the one it was signed for."""


@dataclass(frozen=True)
class AccessRules:
    """Who may use the emulator, and whether all of it (`whole`) or only the stores.

    `secret_keys` holds the signers' keys by access key id: first that of `up`. It grows as functions get credentials.
    `link_keys` holds the keys of earlier starts, whose presigned links are still good.
    """

    secret_keys: dict[str, str] = field(repr=False)
    proxy_token: str = field(repr=False)
    whole: bool
    link_keys: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(
        cls, access_key_id: str, secret_access_key: str, *, whole: bool, link_keys: Mapping[str, str] | None = None
    ) -> AccessRules:
        return cls({access_key_id: secret_access_key}, proxy_token(secret_access_key), whole, link_keys or {})


@dataclass(eq=False)
class Refusal(Exception):
    """A 403 response: AWS's error code, and a message."""

    code: str
    message: str


@dataclass(frozen=True)
class Request:
    """An HTTP request. `headers` has lower-case names; values of one name are joined by commas, as in SigV4."""

    method: str
    raw_path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Request:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        raw_path = scope.get("raw_path") or scope["path"].encode()
        return cls(scope["method"], raw_path.decode("latin-1"), query, headers)

    @property
    def is_presigned(self) -> bool:
        # an empty header is what a client sends that has one of its own by default; it signs nothing
        return "X-Amz-Signature" in self.query and not self.headers.get("authorization")

    @property
    def is_cross_site(self) -> bool:
        """Whether a web page sent this. No SDK sets these headers."""
        return "origin" in self.headers or self.headers.get("sec-fetch-site", "none") != "none"


def refuse_strangers(rules: AccessRules, app: Function) -> Function:
    """Wrap `app` to serve only requests that `rules` allow, and to answer the others with 403."""

    async def served(scope: dict[str, Any], receive: Function, send: Function) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} connections here")
        request = Request.of(scope)
        if is_health_check(request):
            # without headers or a query that could route it elsewhere
            await app({**scope, "headers": [(b"host", b"127.0.0.1")], "query_string": b""}, receive, send)
            return
        if rules.whole and _API_PATH.fullmatch(request.raw_path) and is_of_proxy(rules, request):
            await app({**scope, "headers": without(scope["headers"], {PROXY_HEADER.encode()})}, receive, send)
            return
        try:
            refuse_cross_site(request)
            body, replayed = await read_body(receive)
            signature = check_signature(rules, request, body)
        except Refusal as refusal:
            await answer(refusal, request, send)
            return
        if request.is_presigned:
            scope = {**scope, "headers": without(scope["headers"], _ROUTING_HEADERS)}
            if signature and signature.access_key_id in rules.link_keys:
                scope = {**scope, "query_string": sign_anew(rules, request, signature)}
        await app(scope, replayed, send)

    return served


def is_health_check(request: Request) -> bool:
    return request.method == "GET" and request.raw_path == HEALTH_PATH and not request.is_cross_site


def is_of_proxy(rules: AccessRules, request: Request) -> bool:
    token = request.headers.get(PROXY_HEADER, "")
    return hmac.compare_digest(token.encode("latin-1"), rules.proxy_token.encode())


def refuse_cross_site(request: Request) -> None:
    """Raises `Refusal` for requests of web pages, except those with a presigned link, which web pages may open."""
    if request.is_cross_site and not request.is_presigned:
        raise Refusal("AccessDenied", "requests of web pages are refused, but for presigned links")


def check_signature(rules: AccessRules, request: Request, body: bytes) -> Any:
    """Return MiniStack's parsed form of the signature, or None for a preflight, which has none.

    Raises `Refusal` unless the request is signed with a key of `rules`, for an enabled service.
    """
    if request.method == "OPTIONS" and request.is_presigned:
        return None  # a CORS preflight for the link; it does nothing
    sigv4 = importlib.import_module("ministack.core.sigv4")
    presigned = request.is_presigned
    parsed = sigv4.parse_query_signature(request.query) if presigned else sigv4.parse_header_signature(request.headers)
    if isinstance(parsed, tuple):
        raise Refusal("MissingAuthenticationToken", "the request is not signed")
    keys = {**rules.link_keys, **rules.secret_keys} if presigned else rules.secret_keys
    secret_key = find_secret_key(keys, parsed.access_key_id)
    if secret_key is None:
        raise Refusal("UnrecognizedClientException", "the access key is not of this `coatcheck up`")
    # a presigned link's lifetime is checked by MiniStack's S3
    failure = None if presigned else sigv4.request_time_failure(parsed)
    failure = failure or sigv4.header_signature_failure(
        parsed, secret_key, request.method, request.raw_path, request.query, request.headers, body, presigned=presigned
    )
    if failure:
        raise Refusal(*failure)
    if presigned and parsed.service != "s3":
        raise Refusal("AccessDenied", "links are for S3")
    if not rules.whole and parsed.service not in STORE_SERVICES:
        raise Refusal("AccessDenied", f"{parsed.service} is off: it is there with `coatcheck up --whole`")
    return parsed


def sign_anew(rules: AccessRules, request: Request, signature: Any) -> bytes:
    """Return the query of a presigned link, signed with the key of this start, the only one that MiniStack knows."""
    sigv4 = importlib.import_module("ministack.core.sigv4")
    access_key_id, secret_key = next(iter(rules.secret_keys.items()))
    day, region, service = signature.date_stamp, signature.region, signature.service
    query = {name: values for name, values in request.query.items() if name.lower() != "x-amz-security-token"}
    query["X-Amz-Credential"] = [f"{access_key_id}/{day}/{region}/{service}/aws4_request"]
    _, text = sigv4.header_signing_documents(
        signature, request.method, request.raw_path, query, request.headers, b"", presigned=True
    )
    query["X-Amz-Signature"] = [sigv4.calculate_signature(secret_key, day, region, service, text)]
    return urlencode(query, doseq=True, quote_via=quote).encode()


def find_secret_key(secret_keys: Mapping[str, str], access_key_id: str) -> str | None:
    """Return the secret key of an access key id, or None. The ids are compared in constant time."""
    given = access_key_id.encode("latin-1", "replace")
    matching = [secret for known, secret in list(secret_keys.items()) if hmac.compare_digest(known.encode(), given)]
    return matching[0] if matching else None


async def read_body(receive: Function) -> tuple[bytes, Function]:
    """Read the body. Returns it, and a `receive` that replays it. MiniStack keeps bodies in memory as well."""
    messages = []
    while True:
        messages.append(await receive())
        if not messages[-1].get("more_body"):
            break
    body = b"".join(message.get("body", b"") for message in messages)
    messages.reverse()

    async def replayed() -> Any:
        return messages.pop() if messages else await receive()

    return body, replayed


async def answer(refusal: Refusal, request: Request, send: Function) -> None:
    """Answer 403 as AWS does: in JSON to a JSON request, else in XML."""
    if "json" in request.headers.get("content-type", "") or "x-amz-target" in request.headers:
        content_type, text = (
            "application/x-amz-json-1.0",
            json.dumps({"__type": refusal.code, "message": refusal.message}),
        )
    else:
        error = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        content_type = "application/xml"
        text = f"<ErrorResponse><Error>{error}</Error><RequestId>none</RequestId></ErrorResponse>"
    body = b"" if request.method == "HEAD" else text.encode()
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-errortype", refusal.code.encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def without(headers: Any, names: set[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in names]


def keyed_hashes(rules: AccessRules, _hashlib: Any) -> Any:
    """Return a replacement of `hashlib` for the code in which MiniStack derives the credentials of a function.

    MiniStack derives them from the function's ARN, which can be guessed. A key in the hash prevents that.
    """
    return types.SimpleNamespace(
        sha256=lambda data: hmac.new(rules.proxy_token.encode(), b"functions" + data, hashlib.sha256)
    )


def admit_functions(rules: AccessRules, credentials: Function) -> Function:
    """Wrap `credentials` to admit a function's credentials as a signer."""

    def issued(config: dict[str, Any]) -> dict[str, str]:
        made: dict[str, str] = credentials(config)
        rules.secret_keys[made["AWS_ACCESS_KEY_ID"]] = made["AWS_SECRET_ACCESS_KEY"]
        return made

    return issued


def admit_sessions(rules: AccessRules, register: Function) -> Function:
    """Wrap `register` to admit as signers the temporary credentials that STS gives a role."""

    def registered(access_key: str, session: dict[str, Any]) -> None:
        register(access_key, session)
        rules.secret_keys[access_key] = session["SecretAccessKey"]

    return registered


def run_no_function(_execute: Function) -> Function:
    """Refuse to run any function, however it was made: an `up` without --whole has none."""
    error = {"errorType": "AccessDenied", "errorMessage": "functions run with `coatcheck up --whole` alone"}
    return lambda *_: {"body": error, "error": True, "log": ""}

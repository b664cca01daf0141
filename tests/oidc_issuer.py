"""A tiny issuer of tokens: its discovery document and keys over HTTP on loopback, in a process or a thread.

`python -m tests.oidc_issuer FOLDER` serves until it is killed, and writes its URL and its private key into the folder.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "coatcheck-test"

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


def claims_of(issuer: str, **changes: Any) -> dict[str, Any]:
    """The claims of a token that is good for five minutes, with `changes`; those that are None are left out."""
    now = int(time.time())
    good = {"iss": issuer, "aud": AUDIENCE, "sub": "someone", "iat": now, "exp": now + 300, "tenant": "acme"}
    changed = good | {"scope": "jobs:read"} | changes
    return {name: value for name, value in changed.items() if value is not None}


def sign(claims: Mapping[str, Any], key: RSAKey | ECKey, algorithm: str = "RS256", **header: Any) -> str:
    """A token with these claims."""
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, dict(claims), key, registry=registry)


def encoded(part: Mapping[str, Any] | bytes) -> str:
    """One part of a token made by hand."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_keys(*keys: RSAKey | ECKey) -> dict[str, Any]:
    """The JWK Set of keys."""
    return {"keys": [{**key.as_dict(private=False), "use": "sig"} for key in keys]}


@dataclass
class OidcIssuer:
    """The issuer that is served at `url`. Tests change `documents`, or the `status` that it answers with."""

    url: str
    key: RSAKey
    documents: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.documents = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"},
            KEYS: public_keys(self.key),
        }

    def token(self, **changes: Any) -> str:
        """A token of this issuer."""
        return sign(claims_of(self.url, **changes), self.key)


@contextmanager
def run_issuer(key: RSAKey) -> Iterator[OidcIssuer]:
    """An issuer in a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked[self.path] += 1
            body = json.dumps(issuer.documents.get(self.path, {})).encode()
            self.send_response(issuer.status)
            if 300 <= issuer.status < 400:
                self.send_header("Location", f"{issuer.url}{KEYS}")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = OidcIssuer(f"http://127.0.0.1:{server.server_port}", key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def new_rsa_key(key_id: str) -> RSAKey:
    """A key that is long enough to be taken."""
    return RSAKey.generate_key(2048, {"kid": key_id}, private=True)


def main(folder: Path) -> None:
    """Serve until killed."""
    key = new_rsa_key("first")
    with run_issuer(key) as issuer:
        (folder / "key.json").write_text(json.dumps(key.as_dict(private=True)))
        (folder / "url.new").write_text(issuer.url)
        (folder / "url.new").rename(folder / "url")
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

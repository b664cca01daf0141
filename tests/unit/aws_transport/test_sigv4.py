"""The lean transport signs as botocore does."""

from __future__ import annotations

import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.aws_transport.credentials import AwsCredentials
from coatcheck.aws_transport.endpoints import endpoint_at
from coatcheck.aws_transport.sigv4 import CredentialScope, Signer

NOW = 1_793_957_400.0
SCOPE = CredentialScope("dynamodb", "eu-central-1")
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
secrets = st.builds(AwsCredentials, visible, visible, st.none() | visible)
urls = st.sampled_from(
    [
        "https://dynamodb.eu-central-1.amazonaws.com",
        "http://127.0.0.1:4566",
        "https://[::1]:8443/",
        "https://gateway.example/aws/table",
        "https://gateway.example/a%20b/c",
    ]
)


def botocores(url: str, headers: dict[str, str], body: bytes, credentials: AwsCredentials, now: float) -> str:
    """The header Authorization as botocore makes it."""
    request = AWSRequest("POST", url, headers, body)
    request.context["timestamp"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    held = BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    auth = SigV4Auth(held, SCOPE.service, SCOPE.region)
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if credentials.token:
        request.headers["X-Amz-Security-Token"] = credentials.token
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}"


@given(url=urls, body=st.binary(max_size=200), target=visible, credentials=secrets, seconds=st.integers(0, 10**9))
def test_the_signature_is_botocores(
    url: str, body: bytes, target: str, credentials: AwsCredentials, seconds: int
) -> None:
    endpoint, now = endpoint_at(url), NOW + seconds
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": target}
    signed = Signer(SCOPE).sign(endpoint.path, {"host": endpoint.host, **headers}, body, credentials, now)
    assert signed["authorization"] == botocores(url, headers, body, credentials, now)
    assert signed.get("x-amz-security-token") == credentials.token


def test_a_key_is_derived_for_each_day_and_for_each_secret() -> None:
    signer, headers = Signer(CredentialScope("sqs", "us-east-1")), {"host": "sqs.us-east-1.amazonaws.com"}
    first, second = AwsCredentials("id", "first"), AwsCredentials("id", "second")
    moments = [(first, NOW), (first, NOW + 86400), (second, NOW + 86400), (first, NOW)]
    kept = [signer.sign("/", headers, b"", who, now)["authorization"] for who, now in moments]
    fresh = [Signer(CredentialScope("sqs", "us-east-1")).sign("/", headers, b"", who, now) for who, now in moments]
    assert kept == [one["authorization"] for one in fresh]
    assert len(set(kept)) == 3


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(AwsCredentials("id", "hidden", "hidden"))

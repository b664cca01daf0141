"""Which requests to S3 a supervisor signs for an attempt: those that it needs, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping

import boto3
import pytest

from coatcheck.core.aws import s3_keys
from coatcheck_worker.s3_signer import S3Signer
from coatcheck_worker.s3_signing import AttemptKeys, NotAllowed
from tests.job_rows import make_job

JOB = make_job(attempt=2)
UPLOAD = "upl_in"
KEYS = AttemptKeys.of(JOB, f'{{"file":{{"$upload":"{UPLOAD}"}}}}'.encode())
BUCKET = "https://s3.test/bucket"
HEADERS = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", "Content-Length": "5", "User-Agent": "x"}

RESULT = s3_keys.result_key(JOB)
ARTIFACT = s3_keys.artifact_key(JOB, "page-1.txt")
CHECKPOINT = s3_keys.checkpoint_key(JOB, b"c" * 32)
INPUT = s3_keys.upload_key(JOB.tenant, UPLOAD)


@pytest.fixture(scope="module")
def signer() -> S3Signer:
    session = boto3.Session("AKIAEXAMPLE", "secret", region_name="eu-west-1")
    return S3Signer("bucket", session=session, endpoint_url="https://s3.test")


def sign(signer: S3Signer, method: str, url: str, headers: Mapping[str, str] = HEADERS) -> Mapping[str, str]:
    return signer.sign(KEYS, method, url, headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", RESULT),
        ("PUT", ARTIFACT),
        ("PUT", CHECKPOINT),
        ("POST", f"{ARTIFACT}?uploads"),
        ("PUT", f"{ARTIFACT}?partNumber=1&uploadId=u"),
        ("POST", f"{ARTIFACT}?uploadId=u"),
        ("DELETE", f"{ARTIFACT}?uploadId=u"),
        ("GET", INPUT),
    ],
)
def test_what_an_attempt_needs_is_signed(signer: S3Signer, method: str, path: str) -> None:
    for url in (f"{BUCKET}/{path}", f"https://bucket.s3.test/{path}"):
        signed = sign(signer, method, url)
        signature = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/\d{8}/eu-west-1/s3/aws4_request, "
            r"SignedHeaders=content-length;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}",
            signed["Authorization"],
        )
        assert signature
        assert "secret" not in str(signed)


OTHERS = make_job(tenant="other", id="job_other", attempt=2)
REFUSED = {
    "the result of another tenant's job": ("PUT", s3_keys.result_key(OTHERS)),
    "the result of another attempt": ("PUT", s3_keys.result_key(make_job(attempt=1))),
    "the result of an attempt that begins alike": ("PUT", s3_keys.result_key(make_job(attempt=22))),
    "the checkpoint of another job": ("PUT", s3_keys.checkpoint_key(OTHERS, b"c" * 32)),
    "an input": ("PUT", s3_keys.input_key(JOB)),
    "an upload": ("PUT", INPUT),
    "a way out of the prefix": ("PUT", f"{s3_keys.attempt_prefix(JOB)}../1/result"),
    "an encoded way out": ("PUT", f"{s3_keys.attempt_prefix(JOB)}%2e%2e/1/result"),
    "a read of another upload": ("GET", s3_keys.upload_key(JOB.tenant, "upl_other")),
    "a read of an upload of another tenant": ("GET", s3_keys.upload_key("other", UPLOAD)),
    "a read of its own result": ("GET", RESULT),
    "a list": ("GET", f"?list-type=2&prefix={s3_keys.attempt_prefix(JOB)}"),
    "a version": ("GET", f"{INPUT}?versionId=1"),
    "an access list": ("PUT", f"{RESULT}?acl"),
    "a parameter twice": ("PUT", f"{ARTIFACT}?partNumber=1&uploadId=u&uploadId=v"),
    "a deletion": ("DELETE", RESULT),
    "a deletion of many": ("POST", "?delete"),
    "another method": ("PATCH", RESULT),
}


@pytest.mark.parametrize(("method", "path"), REFUSED.values(), ids=REFUSED)
def test_what_it_does_not_need_is_refused(signer: S3Signer, method: str, path: str) -> None:
    with pytest.raises(NotAllowed, match="this attempt may not"):
        sign(signer, method, f"{BUCKET}/{path}")


@pytest.mark.parametrize(
    "url",
    [
        f"https://evil.test/bucket/{RESULT}",
        f"http://s3.test/bucket/{RESULT}",
        f"https://s3.test/other/{RESULT}",
        f"https://other.s3.test/{RESULT}",
        f"https://s3.test@evil.test/bucket/{RESULT}",
    ],
)
def test_another_server_or_bucket_is_refused(signer: S3Signer, url: str) -> None:
    with pytest.raises(NotAllowed, match="another server or bucket"):
        sign(signer, "PUT", url)


@pytest.mark.parametrize("name", ["x-amz-acl", "X-Amz-Copy-Source", "x-amz-security-token", "Authorization", "Host2"])
def test_a_header_that_changes_what_is_done_is_refused(signer: S3Signer, name: str) -> None:
    with pytest.raises(NotAllowed, match=f"has the header {name.lower()}"):
        sign(signer, "PUT", f"{BUCKET}/{RESULT}", {**HEADERS, name: "x"})


def test_a_request_that_does_not_say_what_it_carries_is_refused(signer: S3Signer) -> None:
    with pytest.raises(NotAllowed, match="lacks the header"):
        sign(signer, "PUT", f"{BUCKET}/{RESULT}", {"Content-Length": "5"})

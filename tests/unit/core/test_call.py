"""How a door tells the errors of AWS apart."""

from __future__ import annotations

import logging

import pytest

from coatcheck.core.aws import s3
from coatcheck.core.aws.call import (
    CREDENTIAL_CODES,
    PERMISSION_CODES,
    AwsDenied,
    AwsError,
    AwsRefused,
    AwsUnavailable,
    Call,
    error_from,
)

CALL = Call("s3", "ListMultipartUploads", {"Bucket": "private"}, read=lambda _: None)


@pytest.mark.parametrize(
    ("code", "status", "kind", "heard"),
    [
        *((code, 400, AwsDenied, "a permission is missing") for code in sorted(PERMISSION_CODES)),
        *((code, 400, AwsDenied, "the credentials are not good") for code in sorted(CREDENTIAL_CODES)),
        # a HEAD is answered without a body
        ("403", 403, AwsDenied, "a permission is missing"),
        ("NoSuchBucket", 404, AwsRefused, None),
        ("SlowDown", 503, AwsUnavailable, None),
    ],
)
def test_a_refusal_is_logged_as_an_error_whoever_swallows_it(
    caplog: pytest.LogCaptureFixture, *, code: str, status: int, kind: type[AwsError], heard: str | None
) -> None:
    answer = {"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(error_from(CALL, answer)) is kind
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ([f"AWS refuses s3 ListMultipartUploads: {code}: {heard}"] if heard else [])


def test_a_denial_of_a_part_of_a_batch_is_heard_too(caplog: pytest.LogCaptureFixture) -> None:
    errors = [
        {"Key": key, "Code": code}
        for key, code in (("a", "AccessDenied"), ("b", "InternalError"), ("c", "AccessDenied"))
    ]
    stay = s3.delete("private", ["a", "b", "c", "d"]).read({"Errors": errors})
    assert stay == {"a": "AccessDenied", "b": "InternalError", "c": "AccessDenied"}
    assert [record.getMessage() for record in caplog.records] == [
        "AWS refuses s3 DeleteObjects: AccessDenied: a permission is missing"
    ]

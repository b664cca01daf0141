"""How a door tells the errors of AWS apart."""

from __future__ import annotations

import logging

import pytest

from coatcheck.calls import PERMISSION_CODES, AwsError, AwsRefused, AwsUnavailable, Call, error_from

CALL = Call("s3", "ListMultipartUploads", {"Bucket": "private"}, read=lambda _: None)


@pytest.mark.parametrize(
    ("code", "status", "kind", "heard"),
    [
        *((code, 403, AwsRefused, True) for code in sorted(PERMISSION_CODES)),
        ("NoSuchBucket", 404, AwsRefused, False),
        ("SlowDown", 503, AwsUnavailable, False),
    ],
)
def test_a_missing_permission_is_logged_as_an_error_whoever_swallows_it(
    caplog: pytest.LogCaptureFixture, *, code: str, status: int, kind: type[AwsError], heard: bool
) -> None:
    answer = {"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(error_from(CALL, answer)) is kind
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [f"AWS refuses s3 ListMultipartUploads: {code}: a permission is missing"] * heard

"""For how long a link is good: no longer than the credentials that sign it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from coatcheck.core.aws.s3 import DOWNLOAD_URL_SECONDS, UPLOAD_URL_SECONDS, presign_download, presign_upload
from coatcheck_service.aioboto_transport import MIN_CREDENTIAL_SECONDS, AioBotoTransport

UPLOAD = presign_upload("bucket", "uploads/t/upl_a", content_type="text/csv", size=1, sha256=None)
DOWNLOAD = presign_download("bucket", "results/a", content_type="text/csv", disposition="attachment", head=False)


@pytest.mark.parametrize(
    ("token", "minutes_left", "uploads", "downloads"),
    [
        (False, None, UPLOAD_URL_SECONDS, DOWNLOAD_URL_SECONDS),
        (True, None, MIN_CREDENTIAL_SECONDS, DOWNLOAD_URL_SECONDS),
        (True, 120, UPLOAD_URL_SECONDS, DOWNLOAD_URL_SECONDS),
        (True, 25, 25 * 60, DOWNLOAD_URL_SECONDS),
        (True, 11, 11 * 60, DOWNLOAD_URL_SECONDS),
    ],
)
async def test_a_link_is_good_as_long_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
    *,
    token: bool,
    minutes_left: int | None,
    uploads: int,
    downloads: int,
) -> None:
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "of a role")
    if minutes_left is not None:
        ends = datetime.now(UTC) + timedelta(minutes=minutes_left)
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    aws = AioBotoTransport()
    try:
        for presign, most in ((UPLOAD, uploads), (DOWNLOAD, downloads)):
            signed = await aws.presign(presign)
            assert most - 60 <= signed.seconds <= most
            assert parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"] == [str(signed.seconds)]
    finally:
        await aws.aclose()


async def test_that_there_is_none_yet_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    aws = AioBotoTransport()
    try:
        signed = await aws.presign(UPLOAD)
    finally:
        await aws.aclose()
    (headers,) = parse_qs(urlsplit(signed.url).query)["X-Amz-SignedHeaders"]
    assert headers.split(";") == ["content-length", "content-type", "host", "if-none-match"]

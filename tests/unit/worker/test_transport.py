"""What the door signs: nothing here is sent."""

from __future__ import annotations

import hashlib
from typing import Any
from zlib import crc32

import boto3
import pytest

from coatcheck.core.aws import s3
from coatcheck.core.aws.call import Call
from coatcheck.core.settings import Settings
from coatcheck_worker.boto_transport import BotoTransport
from coatcheck_worker.ticker import RENEWALS_PER_LEASE

BODY = b"body"
UNSIGNED = "UNSIGNED-PAYLOAD"


class ReadyToSendError(Exception):
    """The request is made."""


@pytest.mark.parametrize(
    ("endpoint", "signed"),
    [
        (None, UNSIGNED),
        ("https://s3.example", UNSIGNED),
        ("http://127.0.0.1:9", UNSIGNED),
        ("http://[::1]:9", UNSIGNED),
        ("http://localhost:9", UNSIGNED),
        ("http://s3.example", hashlib.sha256(BODY).hexdigest()),
        ("http://127.0.0.1.example", hashlib.sha256(BODY).hexdigest()),
    ],
)
def test_a_body_is_signed_only_where_others_could_change_it(endpoint: str | None, signed: str) -> None:
    transport = BotoTransport(boto3.Session("key", "secret", region_name="us-east-1"), endpoint_url=endpoint)
    requests: list[Any] = []

    def note(request: Any, **_: object) -> None:
        requests.append(request)
        raise ReadyToSendError

    transport._client(s3.head("bucket", "key")).meta.events.register("before-send.s3", note)
    put = s3.put("bucket", "key", BODY, content_type="a/b", sha256=hashlib.sha256(BODY).digest())
    part = s3.put_part("bucket", "key", "upload", number=1, body=BODY, crc32=crc32(BODY))
    calls: list[tuple[Call[Any], str]] = [(put, "x-amz-checksum-sha256"), (part, "x-amz-checksum-crc32")]
    for call, checksum in calls:
        with pytest.raises(ReadyToSendError):
            transport.send(call)
        headers = requests[-1].headers
        assert headers["X-Amz-Content-SHA256"].decode() == signed
        assert checksum in headers["Authorization"].decode(), "the checksum is signed in any case"


def test_what_is_urgent_is_given_up_before_the_next_beat_of_the_usual_lease_is_due() -> None:
    """Each sending is waited for to its end, with the longest pauses of the SDK's standard mode between them.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    """
    transport = BotoTransport(boto3.Session("key", "secret", region_name="us-east-1"))
    config = transport._client(Call("dynamodb", "GetItem", {}, dict, urgent=True)).meta.config
    attempts = config.retries["total_max_attempts"]
    longest = attempts * (config.connect_timeout + config.read_timeout) + sum(2**n for n in range(attempts - 1))
    assert longest <= Settings.model_fields["lease"].default / RENEWALS_PER_LEASE

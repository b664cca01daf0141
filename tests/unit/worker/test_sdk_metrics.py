"""What an SDK sends again by itself is counted, as what the lean transport sends again."""

from __future__ import annotations

import socket
from typing import Any

import boto3
import pytest

from coatcheck.aws_transport.sdk_metrics import count_sdk_attempt
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck_worker.boto_transport import BotoTransport
from tests.metric_lines import metric_lines

CALL: Call[Any] = Call("dynamodb", "GetItem", {"TableName": "t", "Key": {"pk": {"S": "a"}}}, dict, urgent=True)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_retry_of_boto3_is_counted() -> None:
    session = boto3.Session("key", "secret", region_name="us-east-1")
    transport = BotoTransport(session, endpoint_url=f"http://127.0.0.1:{closed_port()}")
    with metric_lines() as told:
        with pytest.raises(AwsUnavailable):
            transport.send(CALL)
        assert told.values("AwsRetries", Service="dynamodb") == [1]
        assert told.values("AwsThrottles", Service="dynamodb") == []


@pytest.mark.parametrize(
    ("code", "status", "counted"), [("SlowDown", 503, [1]), ("ServiceUnavailable", 503, []), ("NoSuchKey", 404, [])]
)
def test_a_throttle_is_told_from_other_errors(code: str, status: int, counted: list[float]) -> None:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with metric_lines() as told:
        count_sdk_attempt("s3", response=(None, answer), attempts=1)
        count_sdk_attempt("s3", response=(None, {}), attempts=1)
        count_sdk_attempt("s3", response=None, attempts=1)
        assert told.values("AwsThrottles", Service="s3") == counted
        assert told.values("AwsRetries", Service="s3") == []

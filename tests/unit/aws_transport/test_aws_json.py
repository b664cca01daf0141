"""Requests and answers, as botocore writes and reads them."""

from __future__ import annotations

import functools
import json
import zlib
from typing import Any

import botocore.session
import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.aws_transport.aws_json import BadReply, Reply, decode, encode, headers_of
from coatcheck.core.aws import sqs
from coatcheck.core.aws.call import Call, Service
from coatcheck.core.aws.secrets_manager import get_secret
from coatcheck.core.messages import JobMessage

names = st.sampled_from(["B", "BS", "pk", "M", "é"])
scalars = st.one_of(
    st.builds(lambda text: {"S": text}, st.text(max_size=20)),
    st.builds(lambda number: {"N": str(number)}, st.integers()),
    st.builds(lambda data: {"B": data}, st.binary(max_size=20)),
    st.builds(lambda parts: {"BS": parts}, st.lists(st.binary(max_size=5), min_size=1, max_size=3)),
    st.just({"NULL": True}),
)
values: st.SearchStrategy[dict[str, Any]] = st.recursive(
    scalars,
    lambda inner: (
        st.builds(lambda held: {"M": held}, st.dictionaries(names, inner, max_size=3))
        | st.builds(lambda held: {"L": held}, st.lists(inner, max_size=3))
    ),
    max_leaves=8,
)
items = st.dictionaries(names, values, max_size=4)


@functools.cache
def model(service: Service) -> ServiceModel:
    return ServiceModel(botocore.session.Session().get_service_data(service), service)


def call(service: Service, operation: str, params: dict[str, Any]) -> Call[Any]:
    return Call(service, operation, params, dict)


def botocores(one: Call[Any]) -> dict[str, Any]:
    serializer = create_serializer(str(model(one.service).metadata["protocol"]), include_validation=False)
    made: dict[str, Any] = serializer.serialize_to_request(
        dict(one.params), model(one.service).operation_model(one.operation)
    )
    return made


def read_by_botocore(one: Call[Any], reply: Reply) -> dict[str, Any]:
    parser = create_parser(str(model(one.service).metadata["protocol"]))
    shape = model(one.service).operation_model(one.operation).output_shape
    response = {"status_code": reply.status, "headers": dict(reply.headers), "body": reply.body}
    assert shape is not None
    parsed: dict[str, Any] = parser.parse(response, shape)
    return parsed


@given(item=items)
def test_an_item_is_written_and_read_as_by_botocore(item: dict[str, Any]) -> None:
    put = call("dynamodb", "PutItem", {"TableName": "t", "Item": item})
    assert json.loads(encode(put)) == json.loads(botocores(put)["body"])
    got = Reply(200, {}, encode(call("dynamodb", "GetItem", {"Item": item})))
    assert decode("dynamodb", got).get("Item") == item
    assert read_by_botocore(call("dynamodb", "GetItem", {}), got)["Item"] == item


@pytest.mark.parametrize(
    "one",
    [
        call("dynamodb", "UpdateItem", {"TableName": "t", "Key": {"pk": {"S": "a"}}}),
        sqs.send_job("https://sqs/1/q", JobMessage(tenant="t", job="job_a")),
        get_secret("arn:of-it"),
    ],
    ids=lambda one: one.service,
)
def test_the_headers_are_botocores(one: Call[Any]) -> None:
    theirs = {name.lower(): value for name, value in botocores(one)["headers"].items()}
    assert headers_of(one).items() <= theirs.items()
    assert json.loads(encode(one)) == json.loads(botocores(one)["body"])


@pytest.mark.parametrize(
    ("service", "headers", "body"),
    [
        (
            "dynamodb",
            {},
            {"__type": "com.amazonaws.dynamodb.v20120810#LimitExceededException", "message": "no"},
        ),
        ("dynamodb", {}, {"__type": "ThrottlingException", "Message": "slow"}),
        ("sqs", {"x-amzn-query-error": "ReceiptHandleIsInvalid;Sender"}, {"__type": "com.amazonaws.sqs#Other"}),
    ],
    ids=["with its model", "bare", "of the older protocol"],
)
def test_an_error_has_botocores_code(service: Service, headers: dict[str, str], body: dict[str, str]) -> None:
    reply = Reply(400, headers, json.dumps(body).encode())
    operation = {"dynamodb": "GetItem", "sqs": "ReceiveMessage"}[service]
    theirs = read_by_botocore(call(service, operation, {}), reply)["Error"]
    ours = decode(service, reply)["Error"]
    assert ours["Code"] == theirs["Code"]
    assert ours["Message"] == theirs["Message"]


def test_what_comes_with_an_error_is_kept() -> None:
    body = {"__type": "x#ConditionalCheckFailedException", "Item": {"data": {"B": "AP8="}}}
    assert decode("dynamodb", Reply(400, {}, json.dumps(body).encode()))["Item"] == {"data": {"B": b"\x00\xff"}}


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"<html>"), ({}, b"[]"), ({}, b"\xff"), ({"x-amz-crc32": "1"}, b"{}")],
    ids=["html", "a list", "no text", "changed on its way"],
)
def test_a_bad_answer_is_none(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadReply):
        decode("dynamodb", Reply(200, headers, body))


def test_an_error_in_the_words_of_a_proxy_is_an_error_all_the_same() -> None:
    error = decode("sqs", Reply(502, {}, b"<html>Bad gateway</html>"))
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("Unknown", 502)


def test_a_checksum_that_is_right_is_no_trouble() -> None:
    body = b'{"Count":0}'
    assert decode("dynamodb", Reply(200, {"x-amz-crc32": str(zlib.crc32(body))}, body)) == {"Count": 0}

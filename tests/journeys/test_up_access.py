"""Who may use the emulator of `coatcheck up`: its own processes and whoever reads its owner's files, nobody else."""

from __future__ import annotations

import io
import zipfile

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from coatcheck_infra.local.environment import MADE_UP, Credentials
from coatcheck_infra.local.resources import client, session
from tests.journeys.up_process import Stack

ROLE = "arn:aws:iam::000000000000:role/x"


def code() -> bytes:
    """The zip of a function that would run as the developer."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("f.py", "def f(*_): return 1")
    return file.getvalue()


def refused(failed: pytest.ExceptionInfo[ClientError]) -> str:
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(failed.value.response["Error"]["Code"])


def create_function(stack: Stack, credentials: Credentials) -> None:
    functions = client("lambda", stack.aws_endpoint_url, credentials)
    functions.create_function(
        FunctionName="f", Runtime="python3.13", Role=ROLE, Handler="f.f", Code={"ZipFile": code()}
    )


@pytest.mark.parametrize("credentials", [MADE_UP, Credentials("test", "test"), Credentials("000000000000", "test")])
def test_a_stranger_is_refused(front_door: Stack, credentials: Credentials) -> None:
    with pytest.raises(ClientError) as failed:
        create_function(front_door, credentials)
    assert refused(failed) == "UnrecognizedClientException"
    for service, call in (("dynamodb", "list_tables"), ("s3", "list_buckets"), ("cloudformation", "describe_stacks")):
        with pytest.raises(ClientError) as failed:
            getattr(client(service, front_door.aws_endpoint_url, credentials), call)()
        assert refused(failed) == "UnrecognizedClientException"


def test_the_key_id_of_a_link_is_not_enough(front_door: Stack) -> None:
    guessed = Credentials(front_door.aws_access_key_id, "guessed")
    for service, call in (("dynamodb", "list_tables"), ("s3", "list_buckets"), ("lambda", "list_functions")):
        with pytest.raises(ClientError) as failed:
            getattr(client(service, front_door.aws_endpoint_url, guessed), call)()
        assert refused(failed) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("path", ["/2015-03-31/functions", "/", "/_ministack/reset", "/restapis/a/v1/_user_request_/x"])
def test_a_web_page_is_refused(front_door: Stack, path: str) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request"},
        {},
    ):
        answer = httpx.post(
            front_door.aws_endpoint_url + path,
            content='{"FunctionName": "f"}',
            headers={"Content-Type": "text/plain", **headers},
            trust_env=False,
        )
        assert answer.status_code == 403, answer.text


def test_a_plain_stack_has_no_functions_for_anybody(stack: Stack) -> None:
    with pytest.raises(ClientError) as failed:
        create_function(stack, stack.credentials)
    assert refused(failed) == "AccessDenied"
    with pytest.raises(ClientError) as failed:
        client("iam", stack.aws_endpoint_url, stack.credentials).list_roles()
    assert refused(failed) == "AccessDenied"


def test_links_work_for_web_pages(front_door: Stack) -> None:
    config = Config(signature_version="s3v4")  # as the service signs
    s3 = session(front_door.credentials).client("s3", endpoint_url=front_door.aws_endpoint_url, config=config)
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    where = {"Bucket": bucket, "Key": "of-a-page"}
    page = {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    put = s3.generate_presigned_url("put_object", Params=where)
    assert httpx.put(put, content=b"text", headers=page, trust_env=False).status_code == 200
    get = s3.generate_presigned_url("get_object", Params=where)
    assert httpx.get(get, headers=page, trust_env=False).content == b"text"
    assert httpx.get(get.replace("of-a-page", "another"), headers=page, trust_env=False).status_code == 403


def test_each_start_has_its_own_key(stack: Stack, full_stack: Stack) -> None:
    assert stack.aws_access_key_id != full_stack.aws_access_key_id
    assert stack.aws_secret_access_key != full_stack.aws_secret_access_key

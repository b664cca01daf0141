"""What `coatcheck destroy` deletes of a live stack and what it leaves, over the wire."""

from __future__ import annotations

import functools
import io
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from coatcheck_infra.local.resources import client, stores_template
from coatcheck_infra.ops.deploy.destroy_project import describe, destroy, find_stack
from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.template import read_template

Clients = Callable[[str], Any]


@pytest.fixture
def clients(emulator_url: str) -> Clients:
    return lambda service: client(service, emulator_url)


def create(clients: Clients, body: str, **parameters: str) -> str:
    name = f"doomed-{secrets.token_hex(4)}"
    cloudformation = clients("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    cloudformation.create_stack(StackName=name, TemplateBody=body, Parameters=given)
    while (status := status_of(clients, name)) == "CREATE_IN_PROGRESS":
        time.sleep(0.05)
    assert status == "CREATE_COMPLETE"
    return name


def status_of(clients: Clients, name: str) -> str:
    return str(clients("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


@functools.cache
def template() -> str:
    """The stores of the template."""
    return json.dumps(stores_template(read_template())[0])


@pytest.fixture
def body(request: pytest.FixtureRequest) -> str:
    """A stack of the template's stores."""
    if request.node.callspec.params["emulator_url"] == "moto":
        # which knows no other; for a stack that was once complete it means the same
        return template().replace("RetainExceptOnCreate", "Retain")
    return template()


@pytest.fixture
def stack(clients: Clients, body: str) -> Iterator[str]:
    """A stack with the stores of the template, and some objects in its bucket."""
    name = create(clients, body)
    bucket = stores(clients, name)["bucket"]
    for number in range(3):
        clients("s3").put_object(Bucket=bucket, Key=f"results/{number}", Body=io.BytesIO(b"kept"))
    clients("s3").create_multipart_upload(Bucket=bucket, Key="uploads/unfinished")
    yield name
    clients("cloudformation").delete_stack(StackName=name)


def stores(clients: Clients, name: str) -> dict[str, str]:
    return {store.kind: store.name for store in find_stack(clients("cloudformation"), name).stores}


def left(clients: Clients, stores: dict[str, str]) -> set[str]:
    """The stores that are still there."""
    looks: dict[str, Callable[[], Any]] = {
        "table": lambda: clients("dynamodb").describe_table(TableName=stores["table"]),
        "bucket": lambda: clients("s3").head_bucket(Bucket=stores["bucket"]),
        "webhook key": lambda: clients("secretsmanager").get_secret_value(SecretId=stores["webhook key"]),
    }
    found = set()
    for kind, look in looks.items():
        try:
            look()
        except ClientError:
            continue
        found.add(kind)
    return found


def gone(clients: Clients, name: str) -> bool:
    with pytest.raises(DeployRefused, match=f"there is no stack {name} in us-east-1"):
        find_stack(clients("cloudformation"), name)
    return True


def test_the_stack_goes_and_its_data_stays(clients: Clients, stack: str) -> None:
    doomed, kept = find_stack(clients("cloudformation"), stack), stores(clients, stack)
    lines = list(describe(doomed, "us-east-1", keep_data=True))
    assert f"  stays: table {kept['table']}; a new stack uses it with --set ExistingTable={kept['table']}" in lines
    destroy(clients, doomed, keep_data=True, poll=0.05)
    assert gone(clients, stack)
    assert left(clients, kept) == {"table", "bucket", "webhook key"}
    assert len(clients("s3").list_objects_v2(Bucket=kept["bucket"])["Contents"]) == 3


def test_the_stack_goes_with_its_data(clients: Clients, stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    doomed, deleted = find_stack(clients("cloudformation"), stack), stores(clients, stack)
    lines = list(describe(doomed, "us-east-1", keep_data=False))
    assert f"  goes, with all that is in it: bucket {deleted['bucket']}" in lines
    destroy(clients, doomed, keep_data=False, poll=0.05)
    assert gone(clients, stack)
    assert left(clients, deleted) == set()
    assert f"deleted bucket {deleted['bucket']} (3 objects)" in capsys.readouterr().out


def test_what_the_stack_was_given_stays(clients: Clients, stack: str, body: str) -> None:
    given = stores(clients, stack)
    restored = create(clients, body, ExistingTable=given["table"])
    doomed = find_stack(clients("cloudformation"), restored)
    lines = list(describe(doomed, "us-east-1", keep_data=False))
    assert f"  stays: table {given['table']}, which the stack was given (ExistingTable)" in lines
    destroy(clients, doomed, keep_data=False, poll=0.05)
    assert left(clients, given) == {"table", "bucket", "webhook key"}


def test_another_stack_is_left_alone(clients: Clients) -> None:
    other = create(clients, json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}))
    with pytest.raises(DeployRefused, match="is not one of Coatcheck: it is left alone"):
        find_stack(clients("cloudformation"), other)
    clients("cloudformation").delete_stack(StackName=other)


def test_what_could_not_be_deleted_is_named(clients: Clients, stack: str) -> None:
    doomed, deleted = find_stack(clients("cloudformation"), stack), stores(clients, stack)
    clients("dynamodb").delete_table(TableName=deleted["table"])
    with pytest.raises(DeployRefused, match=f"but not the table {deleted['table']}, bucket .*, webhook key .*by hand"):
        destroy(clients, doomed, keep_data=False, poll=0.05)

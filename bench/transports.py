"""Instructions per request of each transport to AWS: `python -m bench.transports`. Needs valgrind.

Each sends the same requests to a server on this machine that gives one answer. What a process does for 20 requests is
taken from what it does for 120, so that its start does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import boto3

import coatcheck_service.aws
import coatcheck_worker.aws
from coatcheck.aws_transport.async_transport import AsyncLeanTransport
from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.aws_transport.sync_transport import LeanTransport
from coatcheck.core.aws import sqs
from coatcheck.core.aws.call import Call
from coatcheck.core.messages import JobMessage
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_worker.boto_transport import BotoTransport

KEY = ("ASIAEXAMPLE", "secret")
TOKEN = "t" * 800
"""As long as that of a Lambda function's role."""

REGION = "us-east-1"
FEW, MANY = 20, 120
ROW = {
    **{name: {"S": name * 4} for name in ("pk", "sk", "status", "type", "lane", "owner")},
    **{name: {"N": "1793957400000"} for name in ("version", "attempt", "created_at", "updated_at", "lease_until")},
}
CALLS: Mapping[str, Call[Any]] = {
    "GetItem": Call("dynamodb", "GetItem", {"TableName": "t", "Key": {"pk": ROW["pk"], "sk": ROW["sk"]}}, dict),
    "UpdateItem": Call(
        "dynamodb",
        "UpdateItem",
        {
            "TableName": "t",
            "Key": {"pk": ROW["pk"], "sk": ROW["sk"]},
            "UpdateExpression": "SET #a = :a, #b = :b",
            "ConditionExpression": "#c = :c",
            "ExpressionAttributeNames": {"#a": "lease_until", "#b": "owner", "#c": "attempt"},
            "ExpressionAttributeValues": {":a": ROW["version"], ":b": ROW["owner"], ":c": ROW["attempt"]},
        },
        dict,
    ),
    "SendMessage": sqs.send_job("https://sqs.us-east-1.amazonaws.com/1/q", JobMessage(tenant="t", job="job_a")),
}
TRANSPORTS = ("boto3", "aioboto3", "lean, threads", "lean, event loop")


def main() -> None:
    """Print the table, or send requests as a child of this."""
    parser = argparse.ArgumentParser(prog="python -m bench.transports")
    parser.add_argument("--child", nargs=4, metavar=("TRANSPORT", "CALL", "NUMBER", "URL"))
    parser.add_argument("--call", choices=CALLS, help="measure this one alone; all take some ten minutes")
    options = parser.parse_args()
    if options.child:
        transport, name, number, url = options.child
        _send(transport, CALLS[name], int(number), url)
        return
    with _answers() as url:
        for name in [options.call] if options.call else CALLS:
            counts: dict[str, float] = {}
            for one in TRANSPORTS:
                counts[one] = _instructions(one, name, url)
                sdk = counts["aioboto3" if one.endswith(("loop", "aioboto3")) else "boto3"]
                sys.stdout.write(
                    f"{name:12} {one:16} {counts[one] / 1e6:5.2f} M   {counts[one] / sdk:.3f} of the SDK's\n"
                )
                sys.stdout.flush()


def _instructions(transport: str, name: str, url: str) -> float:
    few, many = (_collected(transport, name, number, url) for number in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _collected(transport: str, name: str, number: int, url: str) -> int:
    valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    child = (sys.executable, "-m", "bench.transports", "--child", transport, name, str(number), url)
    ended = subprocess.run([*valgrind, *child], check=True, capture_output=True, text=True)  # noqa: S603 - our own module
    found = re.search(r"Collected : (\d+)", ended.stderr)
    assert found, ended.stderr
    return int(found[1])


def _send(transport: str, call: Call[Any], number: int, url: str) -> None:
    session: dict[str, Any] = {"region_name": REGION, "aws_session_token": TOKEN}
    environ = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_ACCESS_KEY_ID": KEY[0],
        "AWS_SECRET_ACCESS_KEY": KEY[1],
        "AWS_SESSION_TOKEN": TOKEN,
    }
    if transport in {"boto3", "lean, threads"}:
        sdk = BotoTransport(boto3.Session(*KEY, **session), endpoint_url=url)
        found = coatcheck_worker.aws.aws_environment(environ)
        sends = sdk if transport == "boto3" else LeanTransport(found, lambda: sdk, coatcheck_worker.aws.CONFIG)
        for _ in range(number):
            sends.send(call)
        return
    aio = AioBotoTransport(url, aioboto3.Session(*KEY, **session))
    elsewhere = coatcheck_service.aws.aws_environment(environ)
    lean = AsyncLeanTransport(elsewhere, lambda: aio, coatcheck_service.aws.CONFIG)
    asyncio.run(_send_from_a_loop(aio if transport == "aioboto3" else lean, call, number))


async def _send_from_a_loop(transport: AsyncTransport, call: Call[Any], number: int) -> None:
    for _ in range(number):
        await transport.send(call)
    await transport.aclose()


class _Answers(asyncio.Protocol):
    """Answers each request with the same row."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._held = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if found and length and len(body) >= int(length[1]):
            self._held = b""
            self._transport.write(self._answer)


@contextmanager
def _answers() -> Iterator[str]:
    body = json.dumps({"Item": ROW}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Answers(head.encode() + body), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


if __name__ == "__main__":
    main()

"""Instructions per request of each transport to AWS: `python -m bench.transports`. Needs valgrind.

Each sends the same requests to a server on this machine that gives one answer. The process is warm when the count
begins.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import boto3

import coatcheck_service.aws
import coatcheck_worker.aws
from bench.aws_answers import aws_answers
from bench.callgrind import COUNTED, WARM_UP, counting, instructions_each, repeat
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
SDKS: Mapping[str, str] = {
    "boto3": "boto3",
    "aioboto3": "aioboto3",
    "lean, threads": "boto3",
    "lean, event loop": "aioboto3",
}
"""The transports, and the SDK that each stands beside."""


def main() -> None:
    """Print the table, or send requests as a child of this."""
    parser = argparse.ArgumentParser(prog="python -m bench.transports")
    parser.add_argument("--child", nargs=3, metavar=("TRANSPORT", "CALL", "URL"))
    parser.add_argument("--call", choices=CALLS, help="measure this one alone")
    options = parser.parse_args()
    if options.child:
        transport, name, url = options.child
        _send(transport, CALLS[name], url)
        return
    for name in [options.call] if options.call else CALLS:
        counts = measure(name)
        for transport, count in counts.items():
            share = count / counts[SDKS[transport]]
            sys.stdout.write(f"{name:12} {transport:16} {count / 1e6:5.2f} M   {share:.3f} of the SDK's\n")
            sys.stdout.flush()


def measure(name: str) -> dict[str, float]:
    """Return the instructions of one request, by transport."""
    child = ["-m", "bench.transports", "--child"]
    with aws_answers(lambda _operation, _asked: {"Item": ROW}) as url:
        return {transport: instructions_each([*child, transport, name, url]) for transport in SDKS}


def worker_transport(url: str) -> LeanTransport:
    """The worker's transport, to the server at `url`."""
    found = coatcheck_worker.aws.aws_environment(_environ(url))
    return LeanTransport(found, lambda: _boto3(url), coatcheck_worker.aws.CONFIG)


def _send(transport: str, call: Call[Any], url: str) -> None:
    if transport in {"boto3", "lean, threads"}:
        sends = _boto3(url) if transport == "boto3" else worker_transport(url)
        repeat(lambda: sends.send(call))
        return
    aio = AioBotoTransport(url, aioboto3.Session(*KEY, region_name=REGION, aws_session_token=TOKEN))
    found = coatcheck_service.aws.aws_environment(_environ(url))
    lean = AsyncLeanTransport(found, lambda: aio, coatcheck_service.aws.CONFIG)
    asyncio.run(_send_from_a_loop(aio if transport == "aioboto3" else lean, call))


def _boto3(url: str) -> BotoTransport:
    session = boto3.Session(*KEY, region_name=REGION, aws_session_token=TOKEN)
    return BotoTransport(session, endpoint_url=url)


def _environ(url: str) -> Mapping[str, str]:
    return {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_ACCESS_KEY_ID": KEY[0],
        "AWS_SECRET_ACCESS_KEY": KEY[1],
        "AWS_SESSION_TOKEN": TOKEN,
    }


async def _send_from_a_loop(transport: AsyncTransport, call: Call[Any]) -> None:
    for _ in range(WARM_UP):
        await transport.send(call)
    with counting():
        for _ in range(COUNTED):
            await transport.send(call)
    await transport.aclose()


if __name__ == "__main__":
    main()

"""Instructions for a look at a job and for a submit: `python -m bench.service_requests`. Needs valgrind.

The API is asked as Lambda asks it, and under uvicorn. Beside it stands the same written by hand (`bench.peers.api`).
The process is warm when the count begins.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from bench.api_requests import JOB, KEY, ROUTES, TENANT, event
from bench.aws_answers import aws_answers
from bench.callgrind import COUNTED, WARM_UP, counting, instructions_each, repeat
from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey, read_key
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.key_items import put_key
from coatcheck.core.clock import system_clock
from tests.job_rows import make_job

DOORS = ("lambda", "uvicorn")
HANDLERS = {"coatcheck": "coatcheck_service.aws_lambda", "by hand": "bench.peers.api"}
QUEUE = "https://sqs.us-east-1.amazonaws.com/1/default"


def main() -> None:
    """Print the table, or be asked as a child of this."""
    parser = argparse.ArgumentParser(prog="python -m bench.service_requests", description=__doc__)
    parser.add_argument("--child", nargs=3, metavar=("WHO", "DOOR", "METHOD"))
    parser.add_argument("--method", choices=ROUTES)
    parser.add_argument("--door", choices=DOORS)
    options = parser.parse_args()
    if options.child:
        who, door, method = options.child
        (_ask_as_lambda if door == "lambda" else _ask_uvicorn)(who, method)
        return
    for door in [options.door] if options.door else DOORS:
        for method in [options.method] if options.method else ROUTES:
            counts = measure(door, method)
            ratio = counts["coatcheck"] / counts["by hand"]
            shown = "   ".join(f"{who} {count / 1e6:5.2f} M" for who, count in counts.items())
            sys.stdout.write(f"{method:4} {door:8} {shown}   {ratio:.2f}\n")
            sys.stdout.flush()


def measure(door: str, method: str) -> dict[str, float]:
    """Return the instructions of one request, by who serves it."""
    child = ["-m", "bench.service_requests", "--child"]
    with service_environment() as env:
        return {who: instructions_each([*child, who, door, method], env=env) for who in HANDLERS}


@contextmanager
def service_environment() -> Iterator[dict[str, str]]:
    """The environment of the API and of its peer, before a server that answers for AWS."""
    with aws_answers(_answer) as url:
        yield {
            **os.environ,
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "t" * 800,
            "AWS_CONFIG_FILE": os.devnull,
            "COATCHECK_TABLE": "table",
            "COATCHECK_BUCKET": "bucket",
            "COATCHECK_QUEUES": json.dumps({"default": QUEUE, "webhooks": QUEUE}),
            "COATCHECK_DEAD_LETTERS": json.dumps({"default": QUEUE, "webhooks": QUEUE}),
            "COATCHECK_WEBHOOK_KEY": "key",
            "COATCHECK_JOBS": "bench.noop_job",
            "COATCHECK_LOG": "json",
            "PEER_TABLE": "table",
            "PEER_QUEUE": QUEUE,
            "PEER_KEYS": json.dumps({read_key(KEY).digest.hex(): TENANT}),
        }


def _ask_as_lambda(who: str, method: str) -> None:
    handler = importlib.import_module(HANDLERS[who]).handler

    def ask() -> None:
        answer = handler(event(method), None)
        assert answer["statusCode"] in {200, 202}, answer

    repeat(ask)


def _ask_uvicorn(who: str, method: str) -> None:
    if who == "coatcheck":
        from coatcheck_service.http_server import server_config  # noqa: PLC0415 - the peer does without
        from coatcheck_service.main import app  # noqa: PLC0415

        config = server_config(app, log_config=None, port=0)
    else:
        config = uvicorn.Config("bench.peers.api:app", access_log=False, log_config=None, port=0)
    asyncio.run(_ask_server(uvicorn.Server(config), method))


async def _ask_server(server: uvicorn.Server, method: str) -> None:
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    _, path, body = ROUTES[method]
    port = server.servers[0].sockets[0].getsockname()[1]
    asked = (str(port), method, path, KEY, "" if body is None else json.dumps(body))
    await _run_client(*asked, str(WARM_UP))
    with counting():
        await _run_client(*asked, str(COUNTED))
    server.should_exit = True
    await serving


async def _run_client(*arguments: str) -> None:
    """Ask from a process of its own, which is not counted."""
    client = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.service_client", *arguments)
    assert await client.wait() == 0


def _answer(operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    if operation == "GetItem":
        partition = asked["Key"]["pk"]["S"]
        if partition == "#keys":
            return {"Item": _key_item()}
        return {"Item": _job_item()} if JOB in partition else {}
    if operation == "GetSecretValue":
        return {"SecretString": "secret"}
    return {"Items": [], "Count": 0, "MessageId": "id"}


def _key_item() -> dict[str, Any]:
    presented, now = read_key(KEY), system_clock()
    key = ApiKey(presented.id, presented.digest, TENANT, TENANT_SCOPES, now, "bench", last_used_at=now)
    item: dict[str, Any] = dict(put_key("table", key).params["Item"])
    return item


def _job_item() -> dict[str, Any]:
    return encode_job(make_job(now=system_clock(), tenant=TENANT, id=JOB, type="bench.noop", due_at=system_clock()))


if __name__ == "__main__":
    main()

"""A transaction that meets another one is sent again, by both transports."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import boto3
import pytest

from coatcheck.core.aws.call import AwsUnavailable
from coatcheck.core.aws.conflicts import MAX_TRIES
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.job import Job
from coatcheck.core.slots import Caps
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_worker.boto_transport import BotoTransport
from tests.job_rows import NOW, make_job

CONFLICT = [{"Code": "None"}, {"Code": "TransactionConflict", "Message": "another one"}]
NO_SLOT = [{"Code": "None"}, {"Code": "ConditionalCheckFailed"}]
KEYS: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@contextmanager
def table_that_answers(*reasons: list[dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """The URL of a table that cancels transactions for these reasons, one after the other, and then makes them.

    The list is filled with the client tokens that came.
    """
    answers, tokens = list(reasons), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tokens.append(asked["ClientRequestToken"])
            canceled = answers.pop(0) if answers else None
            error = {"__type": "com.amazonaws.dynamodb#TransactionCanceledException", "CancellationReasons": canceled}
            body = json.dumps(error if canceled else {}).encode()
            self.send_response(400 if canceled else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send_by_worker(url: str) -> Any:
    return BotoTransport(boto3.Session(**KEYS), endpoint_url=url).send(_claim())


def send_by_service(url: str) -> Any:
    async def send() -> Any:
        transport = AioBotoTransport(url, aioboto3.Session(**KEYS))
        try:
            return await transport.send(_claim())
        finally:
            await transport.aclose()

    return asyncio.run(send())


def _claim() -> Any:
    return transitions.claim_slot("table", make_job(), Caps(tenant=1), now=NOW, lease=1000, owner="me")


SENDERS = pytest.mark.parametrize("send", [send_by_worker, send_by_service], ids=["worker", "service"])


@SENDERS
def test_a_conflict_passes(send: Any) -> None:
    with table_that_answers(CONFLICT, CONFLICT) as (url, tokens):
        assert isinstance(send(url), Job)
    assert len(tokens) == 3
    assert len(set(tokens)) == 1, "AWS carries out the same request once"


@SENDERS
def test_a_refusal_is_an_answer(send: Any) -> None:
    with table_that_answers(NO_SLOT) as (url, tokens):
        assert send(url) == transitions.SlotsChanged()
    assert len(tokens) == 1


@SENDERS
def test_a_conflict_that_does_not_pass_is_given_up(send: Any) -> None:
    always = [CONFLICT] * 2 * MAX_TRIES
    with table_that_answers(*always) as (url, tokens), pytest.raises(AwsUnavailable, match="TransactionConflict"):
        send(url)
    assert len(tokens) == MAX_TRIES

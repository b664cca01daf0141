"""With OpenTelemetry's packages, functions send the spans of an invocation before Lambda freezes them.

They are started as Lambda does by AWS_LAMBDA_EXEC_WRAPPER, and send by OTLP to a server of this test.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

import coatcheck.telemetry
from coatcheck.core.messages import JobMessage
from tests.aws.service.lambda_process import RUN, event, function_environment
from tests.aws.service.running_service import Api

# what is behind makes no difference here: one emulator is enough
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

WRAPPER = Path(coatcheck.telemetry.__file__).with_name("opentelemetry_wrapper.sh")
TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

RUN_WORKER = """
import json, os, sys
from types import SimpleNamespace
from coatcheck_worker.aws_lambda import run
context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
for line in sys.stdin:
    print(json.dumps(run(json.loads(line), context)), flush=True)
os._exit(0)  # as Lambda ends it: without a word
"""


@dataclass
class Collector:
    """What has arrived."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def names(self) -> set[str]:
        return {span.name for span in self.spans}

    def named(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found


@contextmanager
def collector() -> Iterator[Collector]:
    """A server that takes spans by OTLP over HTTP, until the block ends."""
    collected = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                collected.spans += (span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collected.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collected
        finally:
            server.shutdown()
            thread.join()


def invoke(code: str, env: dict[str, str], events: Sequence[Any], to: Collector) -> list[Any]:
    """Start a function by the wrapper, and give it events. Returns its answers."""
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
        "LAMBDA_TASK_ROOT": env.get("PYTHONPATH", ""),
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": to.url,
        # whatever arrives was sent at the end of an invocation, not by the clock
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
    }
    text = "".join(json.dumps(one) + "\n" for one in events)
    command = [str(WRAPPER), sys.executable, "-c", code]
    done = subprocess.run(command, input=text, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_spans_of_a_submit_and_of_its_job_arrive_as_one_trace(api: Api, tmp_path: Path, emulator_url: str) -> None:
    submit = event(api, "POST", "/v1/jobs", body={"type": "demo.sleep", "input": {"seconds": 0}})
    submit["multiValueHeaders"]["traceparent"] = [f"00-{TRACE}-{CLIENT}-01"]
    env = function_environment(api, tmp_path, emulator_url)
    with collector() as collected:
        (answer,) = invoke(RUN, dict(env), [submit], collected)
        assert answer["statusCode"] == 202
        assert {"dynamodb.PutItem", "sqs.SendMessage"} <= collected.names()
        (message,) = api.messages()
        queue = api.running_service.settings.queues["default"].rsplit("/", 1)[-1]
        batch = {"Records": [_record(message, queue)]}
        (report,) = invoke(RUN_WORKER, dict(env), [batch], collected)
    assert report == {"batchItemFailures": []}
    attempt = collected.named("run demo.sleep")
    assert {span.trace_id.hex() for span in collected.spans} == {TRACE}
    assert attempt.span_id in {span.parent_span_id for span in collected.spans}


def _record(message: JobMessage, queue: str) -> dict[str, Any]:
    """A record as an event source mapping hands it over."""
    return {
        "messageId": "0f0e0d0c-0b0a-4908-8706-050403020100",
        "receiptHandle": "taken already",
        "body": message.model_dump_json(),
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue}",
        "attributes": {"ApproximateReceiveCount": "1"},
    }

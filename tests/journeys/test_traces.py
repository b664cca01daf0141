"""One trace from a client's span through the API, the worker, the handler and S3 to whoever receives a webhook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.up_process import COATCHECK, Stack, UpProcess
from tests.journeys.webhook_receiver import WebhookReceiver, run_receiver
from tests.repository import ROOT
from tests.waiting import eventually

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

PYPROJECT = """\
[project]
name = "reports"
version = "0"
dependencies = ["coatcheck"]

[tool.coatcheck]
jobs = ["jobs"]
"""

JOBS = """\
from opentelemetry import trace
from pydantic import BaseModel

from coatcheck import Context, job


class Size(BaseModel):
    size: int


@job("report.render")
def render(given: Size, ctx: Context) -> None:
    \"\"\"Render a report.\"\"\"
    with trace.get_tracer("reports").start_as_current_span("draw") as span:
        assert ctx.traceparent.split("-")[1] == f"{span.get_span_context().trace_id:032x}"
    with ctx.artifact("report.bin") as file:
        file.write(bytes(given.size))
"""

SITECUSTOMIZE = """\
import os

try:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
except ImportError:  # the emulator's Python has no OpenTelemetry
    pass
else:
    class Append:
        # opened anew each time: a runner inherits no files
        def write(self, text):
            with open(os.environ["SPANS"], "a") as file:
                file.write(text)

        def flush(self):
            pass

    exporter = ConsoleSpanExporter(out=Append(), formatter=lambda span: span.to_json(indent=None) + "\\n")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that all processes of the stack append their spans to."""
    monkeypatch.setenv("SPANS", str(tmp_path / "spans.jsonl"))
    return tmp_path / "spans.jsonl"


@pytest.fixture
def traced_stack(tmp_path: Path, spans: Path) -> Iterator[Stack]:
    """A project whose processes have a tracer provider, as `opentelemetry-instrument` would set one."""
    assert not spans.exists()
    project = tmp_path / "reports"
    project.mkdir()
    for name, text in {"pyproject.toml": PYPROJECT, "jobs.py": JOBS, "sitecustomize.py": SITECUSTOMIZE}.items():
        (project / name).write_text(text)
    up = UpProcess(tmp_path / "home", ["--workers", "1"], tmp_path / "up.log", command=COATCHECK, cwd=project)
    try:
        yield up.ready()
        assert up.stop() == 0, up.output()
    finally:
        up.kill()


def test_a_trace_goes_on_from_the_client_to_the_receiver(
    traced_stack: Stack, receiver: WebhookReceiver, spans: Path
) -> None:
    with traced_stack.client() as http:
        http.headers["traceparent"] = f"00-{TRACE}-{CLIENT}-01"
        body = {"type": "report.render", "input": {"size": 100_000}, "webhook": {"url": f"{receiver.url}/traced"}}
        job = http.post("/v1/jobs", json=body).raise_for_status().json()["id"]
        (arrived,) = receiver.wait_for("/traced", 1)
    with traced_stack.client() as http:
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "succeeded", traced_stack.log.read_text()

    def webhook_span() -> Sequence[Mapping[str, Any]]:
        return [one for one in of_trace(spans) if one["name"] == "webhook job.succeeded"]

    (sent,) = eventually(webhook_span, 60)
    version, trace_id, span_id, flags = arrived.headers["traceparent"].split("-")
    assert (version, trace_id, span_id, flags) == ("00", TRACE, sent["context"]["span_id"][2:], "01")
    shown = list(tree(of_trace(spans), parent=CLIENT))
    page = (ROOT / "docs" / "traces.md").read_text()
    (documented,) = re.findall(r"^the client's span\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    for line in documented.splitlines():
        assert line in shown, shown
    log = traced_stack.log.read_text().splitlines()
    (line,) = [line for line in log if "coatcheck.audit: job.succeeded" in line and job in line]
    assert f"trace_id={TRACE}" in line


def of_trace(spans: Path) -> list[dict[str, Any]]:
    """The spans of the trace that have ended, in the order of their beginnings."""
    found = [json.loads(line) for line in spans.read_text().splitlines()]
    ours = [one for one in found if one["context"]["trace_id"] == f"0x{TRACE}"]
    return sorted(ours, key=lambda one: one["start_time"])


def tree(found: Sequence[Mapping[str, Any]], *, parent: str, depth: int = 1) -> Iterator[str]:
    """The names of the spans below one. Those that FastAPI makes within a request are left out."""
    for one in found:
        if one["parent_id"] == f"0x{parent}":
            inner = one["name"].startswith("fastapi.")
            if not inner:
                yield "   " * depth + one["name"]
            yield from tree(found, parent=one["context"]["span_id"][2:], depth=depth + (not inner))

"""CPU and log of one invocation of each of our Lambda functions: `python -m bench.lambda_invocations`.

The functions' own handlers run in a process each, as Lambda would call them, on MiniStack: so many jobs are submitted,
run, told of by webhook, looked at and fetched. CPU is that of the process and of its runner, the least of several
blocks, so that a busy machine changes it little. Log is what is written to stdout and stderr.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.api_requests import KEY, TENANT
from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey, read_key
from coatcheck.core.aws.dynamodb.key_items import put_key
from coatcheck.core.aws.sqs import ReceivedMessage, delete, receive
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import PREFIX, WEBHOOKS, Settings
from coatcheck_worker.aws import connect

API, WORKER = "coatcheck_service.aws_lambda.handler", "coatcheck_worker.aws_lambda.run"
DELIVERER = "coatcheck_worker.aws_deliverer_lambda.deliver"
"""The functions, by the names of their handlers in the template."""

BLOCKS, BLOCK = 5, 20
WARM_UP = 10
COUNT = WARM_UP + BLOCKS * BLOCK
TICK = 1 / os.sysconf("SC_CLK_TCK")

Invoke = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Invocation:
    """Seconds of CPU, and bytes of log, of one invocation."""

    cpu: float
    log: float


def measure(job_type: str, module: str) -> dict[str, Invocation]:
    """What an invocation takes, by the names of FUNCTIONS. Jobs are of `job_type`, which is in `module`."""
    # what these import is not for the children
    from bench.worker_stack import worker_stack  # noqa: PLC0415
    from tests.aws.worker.faulty_receiver import faulty_receiver  # noqa: PLC0415

    with worker_stack() as stack, faulty_receiver() as receiver, tempfile.TemporaryDirectory() as folder:
        presented, now = read_key(KEY), system_clock()
        key = ApiKey(presented.id, presented.digest, TENANT, TENANT_SCOPES, now, "bench", last_used_at=now)
        stack.aws.send(put_key(stack.settings.table, key))
        env = {
            **stack.env,
            f"{PREFIX}JOBS": module,
            f"{PREFIX}LOG": "json",
            f"{PREFIX}METRICS": "emf",
            f"{PREFIX}METRICS_NAMESPACE": "bench",
            f"{PREFIX}WEBHOOK_TARGETS": "local",
            "BENCH_JOB_TYPE": job_type,
            "BENCH_RECEIVER": receiver.url,
            "BENCH_FOLDER": folder,
        }
        return {name: _in_child(name, env, Path(folder)) for name in FUNCTIONS}


def _in_child(name: str, env: Mapping[str, str], folder: Path) -> Invocation:
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        command = [sys.executable, "-m", "bench.lambda_invocations", "--child", name]
        ended = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)  # noqa: S603
    if ended.returncode:
        raise RuntimeError(f"{name} ended with {ended.returncode}: {log.read_text()[-2000:]}")
    return Invocation(**json.loads((folder / f"{name}.json").read_text()))


def _child(name: str) -> None:
    invoke = FUNCTIONS[name]()
    for _ in range(WARM_UP):
        next(invoke)
    log_before, blocks = os.fstat(1).st_size, list[float]()
    for _ in range(BLOCKS):
        blocks.append(sum(next(invoke) for _ in range(BLOCK)) / BLOCK)
    log = (os.fstat(1).st_size - log_before) / (BLOCKS * BLOCK)
    Path(os.environ["BENCH_FOLDER"], f"{name}.json").write_text(json.dumps(asdict(Invocation(min(blocks), log))))


def _submit() -> Iterator[float]:
    handler = _handler(API)
    endpoint = {"url": os.environ["BENCH_RECEIVER"], "events": ["job.succeeded"]}
    _answer(handler, "POST", "/v1/webhook-endpoints", endpoint)
    jobs = list[str]()
    while True:
        began = _cpu()
        view = _answer(handler, "POST", "/v1/jobs", {"type": os.environ["BENCH_JOB_TYPE"], "input": {}})
        yield _cpu() - began
        jobs.append(json.loads(view)["id"])
        _job_file().write_text(jobs[0])


def _look(suffix: str = "") -> Iterator[float]:
    handler = _handler(API)
    job = _job_file().read_text()
    while True:
        began = _cpu()
        _answer(handler, "GET", f"/v1/jobs/{{job_id}}{suffix}", job=job)
        yield _cpu() - began


def _fetch() -> Iterator[float]:
    return _look("/result")


def _answer(handler: Callable[..., Any], method: str, resource: str, given: Any = None, job: str | None = None) -> str:
    path = resource.replace("{job_id}", job or "")
    headers = {"Accept": "*/*", "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    context = {"requestId": "00000000-0000-4000-8000-000000000000", "path": f"/live{path}"}
    event = {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": job and {"job_id": job},
        "requestContext": {**context, "identity": {"sourceIp": "192.0.2.1"}},
        "body": given and base64.b64encode(json.dumps(given).encode()).decode(),
        "isBase64Encoded": given is not None,
    }
    answer = handler(event, _context())
    assert answer["statusCode"] in {200, 201, 202}, answer
    body = str(answer["body"])
    return base64.b64decode(body).decode(errors="replace") if answer["isBase64Encoded"] else body


def _handler(function: str) -> Callable[..., Any]:
    module, _, name = function.rpartition(".")
    handler: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return handler


def _run() -> Iterator[float]:
    return _consume(WORKER, "default")


def _deliver() -> Iterator[float]:
    return _consume(DELIVERER, WEBHOOKS)


def _consume(function: str, lane: str) -> Iterator[float]:
    handler = _handler(function)
    transport, queue = connect(), Settings.from_env(os.environ).queues[lane]
    while True:
        for received in transport.send(receive(queue, wait=5, limit=1)):
            began = _cpu()
            assert handler({"Records": [_record(received)]}, _context()) == {"batchItemFailures": []}
            yield _cpu() - began
            transport.send(delete(received))


def _record(received: ReceivedMessage) -> dict[str, Any]:
    name = received.queue_url.rpartition("/")[2]
    return {
        "messageId": received.message_id,
        "receiptHandle": received.receipt_handle,
        "body": received.body,
        "attributes": {"ApproximateReceiveCount": str(received.receive_count)},
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{name}",
    }


def _context() -> Any:
    return SimpleNamespace(
        aws_request_id="00000000-0000-4000-8000-000000000000", get_remaining_time_in_millis=lambda: 60_000
    )


def _job_file() -> Path:
    return Path(os.environ["BENCH_FOLDER"], "job")


def _cpu() -> float:
    """Seconds of CPU of this process and of those below it."""
    from tests.processes import processes_below  # noqa: PLC0415 - for this alone

    return time.process_time() + sum(_cpu_of(process) for process in processes_below(os.getpid()))


def _cpu_of(process: int) -> float:
    # nanoseconds on a CPU: https://docs.kernel.org/scheduler/sched-stats.html
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{process}/task").glob("*/schedstat")) / 1e9


FUNCTIONS: Mapping[str, Callable[[], Iterator[float]]] = {
    "submit": _submit,
    "run": _run,
    "deliver": _deliver,
    "look": _look,
    "fetch": _fetch,
}
"""What is done to a job, in this order. Each yields the CPU of one invocation after the other."""


def main() -> None:
    """Print the table, or be one function as a child."""
    parser = argparse.ArgumentParser(prog="python -m bench.lambda_invocations", description=__doc__)
    parser.add_argument("--child", choices=FUNCTIONS)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
        return
    for name, one in measure("bench.noop", "bench.noop_job").items():
        sys.stdout.write(f"{name:10}{one.cpu * 1000:8.2f} ms of CPU{one.log:8.0f} bytes of log\n")


if __name__ == "__main__":
    main()

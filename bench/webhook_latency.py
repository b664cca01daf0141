"""How long events take to a good receiver, alone and beside a dead and a slow one: `python -m bench.webhook_latency`.

The deliverers are real processes, the stores are MiniStack's; every event goes to every receiver. The delay is from
the end of the job to the arrival of the event. Both are measured at the same time, each with a queue and a deliverer of
its own, so that what else the machine does slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.job_items import put_job
from coatcheck.core.aws.dynamodb.webhook_items import put_endpoint
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.clock import DAY, system_clock
from coatcheck.core.due import for_dispatch
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import PREFIX, WEBHOOKS, Settings
from coatcheck.core.webhooks import WebhookEndpoint, event_id
from coatcheck_infra.local import environment
from tests.job_rows import make_job

EVENT_TYPE = "job.succeeded"
ARRIVAL_TIMEOUT = 60.0
"""Seconds that the last events may take to the good receiver."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Of all events, in milliseconds; `lost` have not arrived."""

    median: float
    p99: float
    lost: int


@dataclass(frozen=True, slots=True)
class BenchStack:
    """Stores, a deliverer that runs on a queue of its own, and receivers: the good one, the slow one, the dead one."""

    aws: Transport
    settings: Settings
    receivers: Sequence[str]
    arrivals: Path

    def measure(self, events: int, rate: float, beside: Sequence[int]) -> Delays:
        """Send so many events, `rate` a second, to the good receiver and those `beside` it."""
        tenant = f"t-{secrets.token_hex(6)}"
        for number in (0, *beside):
            made = make_id("whe", secrets.token_bytes(16))
            endpoint = WebhookEndpoint(tenant, made, self.receivers[number], (EVENT_TYPE,), system_clock())
            self.aws.send(put_endpoint(self.settings.table, endpoint))
        ended: dict[str, int] = {}
        began = time.monotonic()
        for number in range(events):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            job = self._ended_job(tenant)
            ended[event_id(job, EVENT_TYPE)] = job.updated_at
        return _delays(ended, self._arrived(ended, time.monotonic() + ARRIVAL_TIMEOUT))

    def _ended_job(self, tenant: str) -> Job:
        now = system_clock()
        job = make_job(
            now=now,
            tenant=tenant,
            id=make_id("job", secrets.token_bytes(16)),
            status=Status.SUCCEEDED,
            version=3,
            attempt=1,
            result=Blob.of(b"{}", JSON),
            started_at=now,
            finished_at=now,
            expires_at=now + DAY,
            due_at=for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
            notify=(EVENT_TYPE,),
            base_url="https://jobs.example",
            history=(JobEvent(EVENT_TYPE, now),),
        )
        self.aws.send(put_job(self.settings.table, job, now=now))
        self.aws.send(send_job(self.settings.queues[WEBHOOKS], JobMessage(tenant=tenant, job=job.id)))
        return job

    def _arrived(self, wanted: Mapping[str, int], give_up_at: float) -> dict[str, int]:
        """When each event arrived first."""
        while True:
            lines = [line.split() for line in self.arrivals.read_text().splitlines() if line]
            found = {event: int(at) for event, at in reversed(lines) if event in wanted}
            if len(found) == len(wanted) or time.monotonic() > give_up_at:
                return found
            time.sleep(0.2)


def _delays(ended: Mapping[str, int], arrived: Mapping[str, int]) -> Delays:
    delays = [at - ended[event] for event, at in arrived.items()]
    cuts = quantiles(delays, n=100)
    return Delays(cuts[49], cuts[98], len(ended) - len(arrived))


@contextmanager
def bench_stacks(scratch: Path, threads: int) -> Iterator[list[BenchStack]]:
    """Two of them on the same stores and receivers, until the block ends."""
    from tests.aws import emulators  # noqa: PLC0415 - what it imports is needed for nothing else here

    with ExitStack() as stack:
        url = stack.enter_context(emulators.ministack(scratch))
        settings = emulators.deployment_on(url).model_copy(update={"webhook_targets": "local"})
        arrivals = scratch / "arrivals"
        arrivals.touch()
        receivers = stack.enter_context(_process("bench.webhook_receivers", str(arrivals)))
        assert receivers.stdout is not None
        urls = [f"http://127.0.0.1:{port}/" for port in receivers.stdout.readline().split()]
        made = []
        # any other queue will do for the second
        for lane in (WEBHOOKS, settings.lanes[0]):
            queues = {**settings.queues, WEBHOOKS: settings.queues[lane]}
            own = settings.model_copy(update={"queues": queues})
            env = environment.child_environment(os.environ, scratch, url) | _environment_of(own)
            stack.enter_context(_process("coatcheck_worker.webhooks", "--threads", str(threads), env=env))
            made.append(BenchStack(emulators.connect(url), own, urls, arrivals))
        yield made


def compare(scratch: Path, *, events: int, rate: float, threads: int) -> tuple[Delays, Delays]:
    """The delays to the good receiver alone, and beside the others."""
    with bench_stacks(scratch, threads) as (one, other), ThreadPoolExecutor(2) as pool:
        for here in (one, other):
            here.measure(10, rate, ())
        alone = pool.submit(one.measure, events, rate, ())
        beside = pool.submit(other.measure, events, rate, (1, 2))
        return alone.result(), beside.result()


def _environment_of(settings: Settings) -> dict[str, str]:
    return {
        f"{PREFIX}{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in settings.model_dump(exclude_none=True).items()
    }


@contextmanager
def _process(module: str, *options: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", module, *options], env=env, text=True, **pipes)  # noqa: S603
    try:
        yield process
    finally:
        # attempts at the dead one would hold up a process that may finish what it has begun
        process.kill()
        process.communicate()


def main() -> None:
    """Measure, print, and end with status 1 when the good receiver waits more than twice as long beside the others."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhook_latency", description=__doc__)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5.0, help="events a second")
    parser.add_argument("--threads", type=int, default=32, help="of the deliverer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        alone, beside = compare(Path(scratch), events=options.events, rate=options.rate, threads=options.threads)
    for name, delays in {"alone": alone, "beside a dead one and a slow one": beside}.items():
        sys.stdout.write(f"{name}: median {delays.median:.0f} ms, p99 {delays.p99:.0f} ms, {delays.lost} lost\n")
    sys.exit(bool(alone.lost + beside.lost) or beside.p99 > 2 * alone.p99)


if __name__ == "__main__":
    main()

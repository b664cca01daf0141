"""What it takes to follow many jobs: `python -m bench.event_streams [STREAMS]`.

The API runs in a process of its own, on MiniStack; one client follows each job over a connection of its own. First the
jobs are quiet, and the reads are counted. Then each job is started, 25 a second. The delay is from just before
the write that starts a job to the arrival of the event.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from bench.api_stalls import KEY, served
from coatcheck.authoring.loading import load_job_types
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.job_items import put_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.transitions import claim
from coatcheck.core.clock import HOUR, system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import Job
from coatcheck.core.settings import Settings
from coatcheck_infra.local import environment
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from coatcheck_worker.boto_transport import BotoTransport
from tests.aws import emulators
from tests.job_rows import make_job

T = TypeVar("T")

TENANT = "bench"
QUIET_SECONDS = 10.0
"""Seconds for which the jobs have been quiet when the reads are counted, and for which they are counted."""

STARTS_PER_SECOND = 25


class CountingTransport(AioBotoTransport):
    """Counts what is read of the table."""

    requests = 0
    rows = 0

    async def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer."""
        if call.operation == "BatchGetItem":
            self.requests += 1
            self.rows += sum(len(asked["Keys"]) for asked in call.params["RequestItems"].values())
        return await super().send(call)


def app() -> FastAPI:
    """The API, which also tells what it has read and used so far."""
    settings = Settings.from_env(os.environ)
    transport = CountingTransport(os.environ["AWS_ENDPOINT_URL"])
    application = create_app(settings, load_job_types(settings.job_modules), transport, UVICORN)

    @application.get("/bench")
    def used() -> Mapping[str, float]:
        status = Path("/proc/self/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        times = os.times()
        return {
            "requests": transport.requests,
            "rows": transport.rows,
            "memory": int(kilobytes) / 1024,
            "cpu": times.user + times.system,
            "at": time.monotonic(),
        }

    return application


@dataclass
class Follower:
    """A client of one job: when its events arrived, by type, in seconds since the epoch."""

    job: Job
    arrived: dict[str, float] = field(default_factory=dict)
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, http: httpx.AsyncClient) -> None:
        """Read the stream until the job has started; resume it where it ends before that."""
        last: dict[str, str] = {}
        while "job.started" not in self.arrived:
            headers = {"Accept": "text/event-stream", **last}
            async with http.stream("GET", f"/v1/jobs/{self.job.id}/events", headers=headers) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        event = json.loads(line.removeprefix("data: "))
                        self.arrived[event["type"]] = time.time()
                        self.connected.set()
                        last = {"Last-Event-ID": event["id"]}
                    if "job.started" in self.arrived:
                        return


def make_jobs(aws: Transport, settings: Settings, number: int) -> list[Job]:
    """So many jobs that wait for a worker, in the table."""
    now = system_clock()
    jobs = [
        replace(make_job(now=now), tenant=TENANT, id=make_id("job", os.urandom(16)), start_at=now, due_at=now + HOUR)
        for _ in range(number)
    ]
    for job in jobs:
        aws.send(put_job(settings.table, job, now=now))
    return jobs


async def measure(url: str, aws: Transport, settings: Settings, followers: Sequence[Follower]) -> None:
    """Follow the jobs, count, start them, and print what was measured."""
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=120, trust_env=False) as http:
        empty = await _used(http)
        tasks = [asyncio.create_task(follower.follow(http)) for follower in followers]
        await asyncio.gather(*(follower.connected.wait() for follower in followers))
        await asyncio.sleep(QUIET_SECONDS)
        before = await _used(http)
        await asyncio.sleep(QUIET_SECONDS)
        after = await _used(http)
        seconds = after["at"] - before["at"]
        requests, rows, cpu = ((after[name] - before[name]) / seconds for name in ("requests", "rows", "cpu"))
        print(f"{len(followers)} streams of {len(followers)} quiet jobs")  # noqa: T201 - what the bench is for
        print(f"  {requests:.1f} requests and {rows:.0f} rows a second, {rows / len(followers):.2f} a stream")  # noqa: T201
        print(f"  {100 * cpu:.0f} % of a core")  # noqa: T201
        print(  # noqa: T201
            f"  {after['memory']:.0f} MB, {empty['memory']:.0f} MB before: "
            f"{1024 * (after['memory'] - empty['memory']) / len(followers):.0f} KB a stream"
        )
        started = {}
        for follower in followers:
            started[follower.job.id] = time.time()
            await asyncio.to_thread(_start, aws, settings, follower.job)
            await asyncio.sleep(max(0.0, started[follower.job.id] + 1 / STARTS_PER_SECOND - time.time()))
        await asyncio.gather(*tasks)
        delays = sorted(1000 * (one.arrived["job.started"] - started[one.job.id]) for one in followers)
        cuts = quantiles(delays, n=100)
        print(f"  delay of an event: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, worst {delays[-1]:.0f} ms")  # noqa: T201


def _start(aws: Transport, settings: Settings, job: Job) -> None:
    key = JobKey(job.tenant, job.id)
    if not isinstance(aws.send(claim(settings.table, key, now=system_clock(), lease=HOUR, owner="bench")), Job):
        raise TypeError(f"{job.id} could not be started")


async def _used(http: httpx.AsyncClient) -> Any:
    return (await http.get("/bench")).json()


def main() -> None:
    """Measure so many streams as the command line says, or 500."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder, emulators.ministack(Path(folder)) as endpoint_url:
        stores = emulators.deployment_on(endpoint_url)
        os.environ.update(environment.child_environment(os.environ, Path(folder), endpoint_url))
        aws = BotoTransport()
        followers = [Follower(job) for job in make_jobs(aws, stores, number)]
        cap = {"COATCHECK_MAX_STREAMS": str(2 * number), "COATCHECK_LOG": "json"}
        with served(stores, endpoint_url, Path(folder), "bench.event_streams:app", **cap) as url:
            asyncio.run(measure(url, aws, stores, followers))


if __name__ == "__main__":
    main()

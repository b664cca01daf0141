"""Large files through real processes: client, API, worker and an S3 that verifies links; and what memory they take."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from coatcheck.client.job import Job
from coatcheck.client.sync_client import Client
from coatcheck.core.aws import s3, s3_keys
from coatcheck_infra.local import environment
from jobs.demo import deterministic_bytes, make_bytes
from tests.kill.crash_run import keys
from tests.kill.emulator import LANE, Emulator
from tests.kill.recovery import running
from tests.large.job_types import read_upload
from tests.processes import processes_below

TENANT = "large"
SEED = 5
MEMORY = "2048"
PATIENCE = 1800.0
"""Seconds that a job may take: the emulator keeps what it is sent in memory, and joins parts there."""


@dataclass(frozen=True)
class TransferReport:
    """One file that went through. `seconds` are the job's own, `peak` is the worker's largest resident set in bytes."""

    what: str
    size: int
    seconds: float
    peak: int
    intact: bool


class HashingWriter:
    """Where a result is written to: what counts is its sha256."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        """Take a piece."""
        self._digest.update(data)

    @property
    def sha256(self) -> str:
        """Hex, of all that was written."""
        return self._digest.hexdigest()


@contextmanager
def api(emulator: Emulator) -> Iterator[str]:
    """The API; gives its URL."""
    with socket.create_server((environment.LOOPBACK, 0), backlog=128) as listener:
        app = ("tests.large.api:app", str(listener.fileno()))
        with running(emulator, "coatcheck_infra.local.serve", *app, fds=(listener.fileno(),), api_keys=keys(TENANT)):
            yield f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}"


def result(emulator: Emulator, client: Client, size: int) -> TransferReport:
    """A result of this size, made as it is sent, and fetched by the client."""
    expected = hashlib.sha256()
    for chunk in deterministic_bytes(size, SEED):
        expected.update(chunk)
    job, seconds, peak = _run(emulator, client, make_bytes.name, {"size": size, "seed": SEED})
    got = HashingWriter()
    client.read_result(job, got)
    client.delete(job.id)
    return TransferReport("result", size, seconds, peak, got.sha256 == expected.hexdigest())


def upload(emulator: Emulator, client: Client, size: int) -> TransferReport:
    """An upload of this size, sent by the client, and read by a handler as a stream."""
    path, expected = emulator.scratch / "upload.bin", hashlib.sha256()
    with path.open("wb") as file:
        for chunk in deterministic_bytes(size, SEED):
            file.write(chunk)
            expected.update(chunk)
    sent = client.upload(path)
    path.unlink()
    job, seconds, peak = _run(emulator, client, read_upload.name, {"file": {"$upload": sent}})
    got = BytesIO()
    client.read_result(job, got)
    read = json.loads(got.getvalue())
    emulator.aws.send(s3.delete(emulator.settings.bucket, [s3_keys.upload_key(TENANT, sent)]))
    return TransferReport("upload", size, seconds, peak, read == {"size": size, "sha256": expected.hexdigest()})


TRANSFERS: Mapping[str, Callable[[Emulator, Client, int], TransferReport]] = {"result": result, "upload": upload}


def run_transfers(emulator: Emulator, sizes: tuple[int, ...]) -> Iterator[TransferReport]:
    """Each way with each size, one after the other."""
    with ExitStack() as stack:
        url = stack.enter_context(api(emulator))
        client = stack.enter_context(Client(url, TENANT, retry_timeout=600))
        for way in TRANSFERS.values():
            for size in sizes:
                yield way(emulator, client, size)


def _run(emulator: Emulator, client: Client, job_type: str, given: Any) -> tuple[Job, float, int]:
    """Let a worker of its own run a job; its seconds, and the most memory that one of its processes took."""
    with running(emulator, "tests.large.lane_supervisor", "--lane", LANE, "--memory", MEMORY) as worker:
        began = time.monotonic()
        job = client.wait(client.submit(job_type, given).id, timeout=PATIENCE)
        assert job.status == "succeeded", job.view
        return job, time.monotonic() - began, _peak(worker.pid)


def _peak(supervisor: int) -> int:
    """The most memory in bytes that one of the processes has taken: the supervisor, its forkserver, and the runner."""
    processes = [supervisor, *processes_below(supervisor)]
    assert len(processes) == 3, "the runner lives on after a job that left no traces"
    return max(map(_largest_resident_set, processes))


def _largest_resident_set(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

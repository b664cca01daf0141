"""Ways to move bytes to and from S3, each measured in a process of its own."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from coatcheck_worker.boto_transport import BotoTransport
from coatcheck_worker.runner.storage.object_reader import READ_AHEAD, ObjectReader
from coatcheck_worker.runner.storage.object_writer import ObjectWriter
from coatcheck_worker.runner.storage.part_uploader import MAX_IN_FLIGHT, PART_SIZE, UPLOAD_THREADS

BUCKET = "bench"
CHUNK = 1024 * 1024
_BLOCK = bytes(range(256)) * (8 * CHUNK // 256)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a transfer took. `cpu` is of the process in seconds, `peak` its largest resident set in MB, `size` bytes."""

    size: int
    seconds: float
    cpu: float
    peak: float

    @property
    def rate(self) -> float:
        """MB a second."""
        return self.size / 1e6 / self.seconds

    @property
    def cpu_per_gb(self) -> float:
        """CPU-seconds for a GB."""
        return self.cpu / (self.size / 1e9)


class GeneratedFile(io.RawIOBase):
    """A file of so many bytes that costs a copy of memory to read."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, and 8 MB."""
        data = _BLOCK[: self._left if size < 0 else min(size, self._left)]
        self._left -= len(data)
        # a slice of the whole would be no copy
        return bytes(bytearray(data)) if data is _BLOCK else data


class HashingFile(GeneratedFile):
    """The same, for those who want to know the sha256 of what they send, as a result's row does."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """As above."""
        data = super().read(size)
        self._sha256.update(data)
        return data


TransferFunction = Callable[[int], None]
"""Moves so many bytes, with clients that were made before: a worker makes them once."""


def _upload_fileobj(session: boto3.Session, url: str, made: type[GeneratedFile]) -> TransferFunction:
    client = session.client("s3", endpoint_url=url)
    return lambda size: client.upload_fileobj(made(size), BUCKET, "uploaded")


def _sink(session: boto3.Session, url: str) -> TransferFunction:
    return partial(_sink_from, BotoTransport(session, endpoint_url=url))


def _sink_from(transport: BotoTransport, size: int) -> None:
    sink = ObjectWriter(transport, BUCKET, "sunk", content_type="application/octet-stream", filename=None)
    made = GeneratedFile(size)
    while chunk := made.read(CHUNK):
        sink.write(chunk)
    sink.finish()


def _source(session: boto3.Session, url: str) -> TransferFunction:
    return partial(_source_from, BotoTransport(session, endpoint_url=url))


def _source_from(transport: BotoTransport, size: int) -> None:
    source = ObjectReader(transport, BUCKET, f"zeros-{size}", name="zeros")
    with io.BufferedReader(source, READ_AHEAD) as file:
        while file.read(CHUNK):
            pass


def _bare(_session: boto3.Session, url: str) -> TransferFunction:
    return partial(_bare_from, url)


def _bare_from(url: str, size: int) -> None:
    """What no upload of a hashed stream can do without: each part is copied once, hashed, and sent by another thread.

    There are no checksums of parts, no signatures, no retries, and no more parts in memory than are sent or filled.
    """
    made, digest, local = GeneratedFile(size), hashlib.sha256(), threading.local()
    free = deque(bytearray(PART_SIZE) for _ in range(MAX_IN_FLIGHT + 1))
    in_flight: deque[tuple[Future[None], bytearray]] = deque()

    def send(part: memoryview) -> None:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(urlsplit(url).netloc)
        local.connection.request("PUT", f"/{BUCKET}/bare", body=part)
        local.connection.getresponse().read()

    with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
        for left in range(size, 0, -PART_SIZE):
            if len(in_flight) >= MAX_IN_FLIGHT:
                future, sent = in_flight.popleft()
                future.result()
                free.append(sent)
            buffer, part_size = free.popleft(), min(PART_SIZE, left)
            part = memoryview(buffer)[:part_size]
            for start in range(0, part_size, CHUNK):
                chunk = made.read(min(CHUNK, part_size - start))
                part[start : start + len(chunk)] = chunk
            digest.update(part)
            in_flight.append((pool.submit(send, part), buffer))
        for future, _ in in_flight:
            future.result()


METHODS: Mapping[str, Callable[[boto3.Session, str], TransferFunction]] = {
    "upload_fileobj": partial(_upload_fileobj, made=GeneratedFile),
    "upload_fileobj, hashed": partial(_upload_fileobj, made=HashingFile),
    "sink": _sink,
    "bare": _bare,
    "source": _source,
}


def measure(method: str, url: str, size: int) -> Measurement:
    """Move `size` bytes in a new process. Raises CalledProcessError when it cannot."""
    command = [sys.executable, "-m", "bench.transfer_methods", method, url, str(size)]
    completed = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own module
    return Measurement(**json.loads(completed.stdout))


def peak() -> float:
    """The largest resident set of this process, in MB."""
    # not ru_maxrss where that can be helped: Linux lets a process inherit it from the one that started it
    status = Path("/proc/self/status")
    if status.exists():
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kilobytes) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(method: str, url: str, size: int) -> None:
    """Move the bytes, and print what it took as JSON."""
    move = METHODS[method](boto3.Session("bench", "bench", region_name="us-east-1"), url)
    began, cpu = time.perf_counter(), time.process_time()
    move(size)
    measurement = Measurement(size, time.perf_counter() - began, time.process_time() - cpu, peak())
    sys.stdout.write(json.dumps(asdict(measurement)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

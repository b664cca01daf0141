"""How a result goes to S3, against `boto3.upload_fileobj` with its defaults: `python -m bench.s3_upload`.

The ways take turns, each time in a new process; printed are the medians. CPU is of the sending process alone.
A result's sha256 is part of its row, so the sink makes it on the way: `upload_fileobj, hashed` is what
upload_fileobj takes when its caller does the same. `bare` hashes and sends as large parts over plain connections, and
does nothing else: what no upload of a result can do without. What this machine's sha256 takes alone is printed too.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import boto3

from bench import null_s3
from bench.transfer_methods import BUCKET, CHUNK, Measurement, measure

BOTO3, BOTO3_HASHED, SINK, BARE = "upload_fileobj", "upload_fileobj, hashed", "sink", "bare"


@contextmanager
def emulator() -> Iterator[str]:
    """MiniStack with a bucket; gives its URL. It keeps what it is sent in memory."""
    from tests.aws import emulators  # noqa: PLC0415 - what it imports is needed for nothing else here

    with tempfile.TemporaryDirectory() as scratch, emulators.ministack(Path(scratch)) as url:
        session = boto3.Session("bench", "bench", region_name="us-east-1")
        session.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
        yield url


SERVERS = {"null": null_s3.running, "ministack": emulator}


def medians(measurements: list[Measurement]) -> Measurement:
    """The median of each figure."""
    return Measurement(
        measurements[0].size,
        median(one.seconds for one in measurements),
        median(one.cpu for one in measurements),
        median(one.peak for one in measurements),
    )


def hash_cpu_per_gb() -> float:
    """CPU-seconds that the sha256 of a GB takes on this machine."""
    data = bytes(64 * CHUNK)
    began = time.thread_time()
    hashlib.sha256(data)
    return (time.thread_time() - began) / (len(data) / 1e9)


def compare(server: str, size: int, rounds: int) -> dict[str, Measurement]:
    """The medians of each way of so many rounds, in which the ways take turns. `size` is in bytes."""
    methods = (BOTO3, BOTO3_HASHED, SINK, BARE)
    with SERVERS[server]() as url:
        taken = [[measure(method, url, size) for method in methods] for _ in range(rounds)]
    return {method: medians([one[index] for one in taken]) for index, method in enumerate(methods)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.s3_upload", description=__doc__)
    parser.add_argument("--server", choices=sorted(SERVERS), default="null", help="what is sent to (default: null)")
    parser.add_argument("--size", type=int, default=512, help="MB to send (default: 512)")
    parser.add_argument("--rounds", type=int, default=5, help="times each way (default: 5)")
    options = parser.parse_args()
    measurements = compare(options.server, options.size * 1_000_000, options.rounds)
    write = sys.stdout.write
    write(f"{options.size} MB, {options.rounds} times, to {options.server}\n\n")
    for method, one in measurements.items():
        write(f"{method:24}{one.rate:6.0f} MB/s  {one.cpu_per_gb:5.2f} CPU-s/GB  {one.peak:4.0f} MB\n")
    write(f"{'sha256 alone':36}{hash_cpu_per_gb():6.2f} CPU-s/GB\n\n")
    for method in (BOTO3, BOTO3_HASHED, BARE):
        sink, other = measurements[SINK], measurements[method]
        ratios = (sink.rate / other.rate, sink.cpu / other.cpu, sink.peak / other.peak)
        write("sink to {}: {:.2f} of the MB/s, {:.2f} of the CPU, {:.2f} of the memory\n".format(method, *ratios))


if __name__ == "__main__":
    main()

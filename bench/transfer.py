"""How a result goes to S3, against `boto3.upload_fileobj` with its defaults: `python -m bench.transfer`.

The ways take turns, each time in a new process; printed are the medians. CPU is of the sending process alone.
A result's sha256 is part of its row, so the sink makes it on the way: `upload_fileobj, hashed` is what
upload_fileobj takes when its caller does the same. What this machine's sha256 takes alone is printed too.
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
from bench.ways import BUCKET, CHUNK, Spent, measure

THEIRS, HASHED, OURS = "upload_fileobj", "upload_fileobj, hashed", "sink"


@contextmanager
def emulator() -> Iterator[str]:
    """MiniStack with a bucket; gives its URL. It keeps what it is sent in memory."""
    from tests.aws import emulators  # noqa: PLC0415 - what it imports is needed for nothing else here

    with tempfile.TemporaryDirectory() as scratch, emulators.ministack(Path(scratch)) as url:
        session = boto3.Session("bench", "bench", region_name="us-east-1")
        session.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
        yield url


SERVERS = {"null": null_s3.running, "ministack": emulator}


def middle(spent: list[Spent]) -> Spent:
    """The median of each figure."""
    return Spent(
        spent[0].size,
        median(one.seconds for one in spent),
        median(one.cpu for one in spent),
        median(one.peak for one in spent),
    )


def hash_cpu_per_gb() -> float:
    """CPU-seconds that the sha256 of a GB takes on this machine."""
    data = bytes(64 * CHUNK)
    began = time.thread_time()
    hashlib.sha256(data)
    return (time.thread_time() - began) / (len(data) / 1e9)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    parser.add_argument("--server", choices=sorted(SERVERS), default="null", help="what is sent to (default: null)")
    parser.add_argument("--size", type=int, default=512, help="MB to send (default: 512)")
    parser.add_argument("--rounds", type=int, default=5, help="times each way (default: 5)")
    options = parser.parse_args()
    ways = (THEIRS, HASHED, OURS)
    with SERVERS[options.server]() as url:
        rounds = [[measure(way, url, options.size * 1_000_000) for way in ways] for _ in range(options.rounds)]
    spent = {way: middle([one[index] for one in rounds]) for index, way in enumerate(ways)}
    say = sys.stdout.write
    say(f"{options.size} MB, {options.rounds} times, to {options.server}\n\n")
    for way, one in spent.items():
        say(f"{way:24}{one.rate:6.0f} MB/s  {one.cpu_per_gb:5.2f} CPU-s/GB  {one.peak:4.0f} MB\n")
    say(f"{'sha256 alone':36}{hash_cpu_per_gb():6.2f} CPU-s/GB\n\n")
    for way in (THEIRS, HASHED):
        ours, other = spent[OURS], spent[way]
        ratios = (ours.rate / other.rate, ours.cpu / other.cpu, ours.peak / other.peak)
        say("sink to {}: {:.2f} of the MB/s, {:.2f} of the CPU, {:.2f} of the memory\n".format(way, *ratios))


if __name__ == "__main__":
    main()

"""How the client moves a file, beside boto3's `upload_file` and urllib3: `python -m bench.client_transfers`.

The ways take turns, each time in a new process; printed are the medians. The server is on this machine and keeps
nothing (`bench.null_service`). The client makes the sha256 of what it sends, and checks that of what it fetches, which
the others do not. CPU is of the client's process alone, memory what it takes more than before the transfer. What this
machine's sha256 takes alone is printed too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from bench import null_s3
from bench.s3_upload import hash_cpu_per_gb, medians
from bench.transfer_methods import BUCKET, CHUNK, Measurement, peak

KINDS: Mapping[str, tuple[str, str]] = {
    "upload": ("client.upload", "boto3.upload_file"),
    "download": ("client.download", "urllib3"),
}
"""Ours, and what it stands beside."""


def _upload(url: str, file: Path, _size: int) -> Callable[[], object]:
    from coatcheck import Client  # noqa: PLC0415 - a process has what it measures, and no more

    client = Client(url, "key")
    return lambda: client.upload(file)


def _upload_by_boto3(url: str, file: Path, _size: int) -> Callable[[], object]:
    import boto3  # noqa: PLC0415 - as above

    client = boto3.Session("bench", "bench", region_name="us-east-1").client("s3", endpoint_url=url)
    return lambda: client.upload_file(str(file), BUCKET, "uploaded")


def _download(url: str, file: Path, size: int) -> Callable[[], object]:
    from coatcheck import Client, Job  # noqa: PLC0415 - as above

    client, digest = Client(url, "key"), sha256_of_zeros(size)
    result = {"size": size, "content_type": "-", "sha256": digest}
    job = Job({"id": f"job_{size}", "status": "succeeded", "done": True, "result": result})
    return lambda: client.download(job, file)


def _download_by_urllib3(url: str, file: Path, size: int) -> Callable[[], object]:
    import urllib3  # noqa: PLC0415 - as above

    def fetch() -> None:
        with urllib3.PoolManager() as pool, file.open("wb") as into:
            for chunk in pool.request("GET", f"{url}/bucket/zeros-{size}", preload_content=False).stream():
                into.write(chunk)

    return fetch


METHODS: Mapping[str, Callable[[str, Path, int], Callable[[], object]]] = {
    "client.upload": _upload,
    "boto3.upload_file": _upload_by_boto3,
    "client.download": _download,
    "urllib3": _download_by_urllib3,
}


def sha256_of_zeros(size: int) -> str:
    """The sha256 of so many zero bytes, in hex."""
    digest, block = hashlib.sha256(), bytes(CHUNK)
    for _ in range(size // CHUNK):
        digest.update(block)
    digest.update(block[: size % CHUNK])
    return digest.hexdigest()


def compare(kind: str, size: int, rounds: int) -> tuple[Measurement, Measurement]:
    """Move `size` bytes so many times each way, by turns. Returns the medians of ours, and of the other."""
    with null_s3.running("bench.null_service") as url, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        with file.open("wb") as zeros:
            for _ in range(size // CHUNK):
                zeros.write(bytes(CHUNK))
        if kind == "download":
            # it is made anew each time
            file.unlink()
        taken = [[_measure(method, url, file, size) for method in KINDS[kind]] for _ in range(rounds)]
    ours, other = ([turn[index] for turn in taken] for index in (0, 1))
    return medians(ours), medians(other)


def _measure(method: str, url: str, file: Path, size: int) -> Measurement:
    command = [sys.executable, "-m", "bench.client_transfers", "--child", method, url, str(file), str(size)]
    completed = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own module
    if method in KINDS["download"]:
        file.unlink()
    return Measurement(**json.loads(completed.stdout))


def _child(method: str, url: str, file: Path, size: int) -> None:
    move = METHODS[method](url, file, size)
    before, began, cpu = peak(), time.perf_counter(), time.process_time()
    move()
    taken = Measurement(size, time.perf_counter() - began, time.process_time() - cpu, peak() - before)
    sys.stdout.write(json.dumps(asdict(taken)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.client_transfers", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, help="this one alone")
    parser.add_argument("--size", type=int, default=512, help="MB to move (default: 512)")
    parser.add_argument("--rounds", type=int, default=5, help="times each way (default: 5)")
    parser.add_argument("--child", nargs=4, metavar=("METHOD", "URL", "FILE", "SIZE"))
    options = parser.parse_args()
    if options.child:
        method, url, file, size = options.child
        _child(method, url, Path(file), int(size))
        return
    write = sys.stdout.write
    for kind in [options.kind] if options.kind else KINDS:
        ours, other = compare(kind, options.size * CHUNK, options.rounds)
        for name, one in zip(KINDS[kind], (ours, other), strict=True):
            write(f"{name:20}{one.rate:6.0f} MB/s  {one.cpu_per_gb:5.2f} CPU-s/GB  {one.peak:4.0f} MB\n")
        write(f"{kind}: {ours.rate / other.rate:.2f} of the MB/s, {ours.cpu / other.cpu:.2f} of the CPU\n")
        sys.stdout.flush()
    write(f"sha256 alone: {hash_cpu_per_gb():.2f} CPU-s/GB\n")


if __name__ == "__main__":
    main()

"""How long one client's worst bodies hold up another's requests: `python -m bench.api_stalls [MAX_JSON_BYTES]`.

The API runs in a process of its own, on an emulator. One client sends the same body again and again over several
connections; another asks for /v1/health as fast as it is answered. What counts is the slowest of its answers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx

from coatcheck.core.settings import Settings
from coatcheck_infra.local import environment
from coatcheck_service.http.json_size import MAX_VALUES
from tests.aws import emulators

KEY = "bench"
START_TIMEOUT = 30.0

_HEAD = b'{"type":"demo.sleep","input":'


@dataclass(frozen=True, slots=True)
class StallReport:
    """What another client met meanwhile: its slowest answer and the median one, in ms, and how many it got."""

    worst: float
    median: float
    asked: int
    statuses: frozenset[int]


def bodies(size: int, max_tokens: int | None = None) -> Mapping[str, bytes]:
    """Bodies of up to `size` bytes, each bad in its own way; with up to `max_tokens` names and values, if given."""

    def repeated(unit: bytes, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
        count = (size - len(_HEAD) - 3) // (len(unit) + 1)
        if max_tokens is not None:
            count = min(count, (max_tokens - 10) // (1 + sum(unit.count(sign) for sign in (b"[", b"{", b":"))))
        return _HEAD + opening + b",".join([unit] * count) + closing + b"}"

    count = size // 12 if max_tokens is None else min(size // 12, max_tokens // 2 - 10)
    names = b",".join(b'"%0*x":1' % (min(size // count - 5, 500), number) for number in range(count))
    return {
        "small": _HEAD + b"{}}",
        "unknown names": b"{" + names + b"}",
        "names in the input": _HEAD + b"{" + names + b"}}",
        "empty lists": repeated(b"[]"),
        "empty objects": repeated(b"{}"),
        "deep lists": repeated(b"[" * 150 + b"]" * 150),
        "deep objects": repeated(b'{"":' * 150 + b"1" + b"}" * 150),
        "short numbers": repeated(b"1"),
        "long numbers": repeated(b"9" * 300),
        "long fractions": repeated(b"0." + b"1" * 3000),
        "escaped quotes": repeated(b'"' + b'\\"' * 1000 + b'"'),
        "one text": _HEAD + b'"' + b"," * (size - 100) + b'"}',
    }


@contextlib.contextmanager
def served(
    stores: Settings, endpoint_url: str, scratch: Path, app: str = "coatcheck_service.main:app", **settings: str
) -> Iterator[str]:
    """The API in a process of its own; gives its URL. `settings` are variables of its environment."""
    env = environment.child_environment(os.environ, scratch, endpoint_url) | {
        "COATCHECK_JOBS": "jobs.tables,jobs.demo",
        "COATCHECK_TABLE": stores.table,
        "COATCHECK_BUCKET": stores.bucket,
        "COATCHECK_QUEUES": json.dumps(stores.queues),
        "COATCHECK_DEAD_LETTERS": json.dumps(stores.dead_letters),
        "COATCHECK_WEBHOOK_KEY": stores.webhook_key,
        "COATCHECK_API_KEYS": json.dumps({sha256(KEY.encode()).hexdigest(): "bench"}),
        **settings,
    }
    with socket.create_server((environment.LOOPBACK, 0), backlog=512) as listener:
        command = [
            sys.executable,
            "-m",
            "coatcheck_infra.local.serve",
            app,
            str(listener.fileno()),
        ]
        with (scratch / "api.log").open("w") as log:
            process = subprocess.Popen(  # noqa: S603 - this very program
                command, env=env, stdout=log, stderr=log, pass_fds=[listener.fileno()]
            )
        url = f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}"
        try:
            _wait_until_healthy(url)
            yield url
        finally:
            process.terminate()
            process.wait()


def tiny_chunks(url: str, body: bytes) -> int:
    """Send `body` in chunks of one byte, without a key; the status of the answer, or 0 for none."""
    host, _, port = url.removeprefix("http://").partition(":")
    head = "POST /v1/jobs HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    try:
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            connection.sendall(head.encode() + chunks + b"0\r\n\r\n")
            return int(connection.recv(100).split()[1])
    except (OSError, IndexError):
        return 0


def measure_stall(
    url: str,
    body: bytes,
    *,
    connections: int = 4,
    seconds: float = 3.0,
    post: Callable[[str, bytes], int] | None = None,
) -> StallReport:
    """What a client meets while another sends `body` again and again over so many connections, by `post` if given."""
    send = post or _post
    finished = threading.Event()
    statuses: set[int] = set()

    def attack() -> None:
        while not finished.is_set():
            statuses.add(send(url, body))

    attackers = [threading.Thread(target=attack) for _ in range(connections)]
    for attacker in attackers:
        attacker.start()
    try:
        taken = _probe(url, time.monotonic() + seconds, statuses)
    finally:
        finished.set()
        for attacker in attackers:
            attacker.join()
    taken.sort()
    return StallReport(taken[-1] * 1000, taken[len(taken) // 2] * 1000, len(taken), frozenset(statuses))


def _probe(url: str, until: float, answered: set[int]) -> list[float]:
    """Seconds that each answer took, until the time is over and the attacker has been answered at least once."""
    host = url.removeprefix("http://")
    taken = []
    with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        while time.monotonic() < until or not answered:
            began = time.perf_counter()
            connection.request("GET", "/v1/health")
            connection.getresponse().read()
            taken.append(time.perf_counter() - began)
    return taken


def _post(url: str, body: bytes) -> int:
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)) as connection:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/jobs", body, headers)
        except (BrokenPipeError, ConnectionResetError):
            return 413  # refused by its Content-Length, before it was read
        return connection.getresponse().status


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/v1/health", trust_env=False).is_success:
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the API does not answer")
        time.sleep(0.05)


def main(print_line: Callable[[str], object] = print) -> None:
    """Measure each body."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1024**2
    with tempfile.TemporaryDirectory() as folder, emulators.ministack(Path(folder)) as endpoint_url:
        stores = emulators.deployment_on(endpoint_url)
        print_line(f"bodies of {size:,} bytes over 4 connections; /v1/health meanwhile, ms")
        with served(stores, endpoint_url, Path(folder), COATCHECK_MAX_JSON_BYTES=str(size)) as url:
            report = measure_stall(url, bytes(size // 8), post=tiny_chunks)
            print_line(f"chunks of one byte     worst {report.worst:8.1f}  median {report.median:6.1f}")
            for max_tokens in (None, MAX_VALUES):
                print_line(
                    "as many names and values as there is room for"
                    if max_tokens is None
                    else f"{max_tokens:,} names and values"
                )
                for name, body in bodies(size, max_tokens).items():
                    report = measure_stall(url, body)
                    print_line(
                        f"  {name:20} worst {report.worst:8.1f}  median {report.median:6.1f}  asked {report.asked:5}"
                        f"  answered {sorted(report.statuses)}"
                    )


if __name__ == "__main__":
    main()

"""One flow played once by a process that is to die in it, or to its end where none is chosen."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

from coatcheck.table.keys import JobKey
from infra.embedded import environment
from tests.kill.door import BEAT, Point
from tests.kill.flows import DELIVERER, RECEIVE, Flow, Request, over
from tests.kill.ground import Ground
from tests.kill.victims import Errand, Nursery
from worker.tools import system_clock

PATIENCE = 60.0
"""Seconds that a process may take to come to its point."""


@dataclass
class Scene:
    """A flow, and the process in it. `ended_at` is in milliseconds since the epoch; `flaws` say what was wrong."""

    flow: Flow
    point: Point | None
    tenant: str
    queue: str
    key: JobKey
    request: Request | None
    pid: int
    listens: int
    client: socket.socket | None
    give_up_at: float
    calls: list[str] = field(default_factory=list)
    status: int | None = None
    ended_at: int = 0
    flaws: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What tells it from others, and plays it again."""
        return f'--flow "{self.flow.name}" --point {self.point or "none"}'

    @property
    def missed(self) -> bool:
        """Whether the process ended without coming to its point, as it may with a beat."""
        return self.point is not None and self.point.strand == BEAT and self._count() <= self.point.number

    def _count(self) -> int:
        return Counter(line.split()[0] for line in self.calls)[self.point.strand] if self.point else 0

    def look(self, ground: Ground) -> bool:
        """Whether it is over by now."""
        self._listen()
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if ended:
            self._end(os.waitstatus_to_exitcode(status))
        elif time.monotonic() > self.give_up_at:
            self.flaws.append(f"did not come to its point in {PATIENCE:g} s")
            os.kill(self.pid, signal.SIGKILL)
        elif self.point is None or self.point.strand == BEAT:
            self._dismiss(ground)
        return bool(ended)

    def _listen(self) -> None:
        while select.select([self.listens], [], [], 0)[0] and (told := os.read(self.listens, 65_536)):
            self.calls += told.decode().splitlines()

    def _dismiss(self, ground: Ground) -> None:
        """Let the process end when its flow is through."""
        answered = self.client is not None and bool(select.select([self.client], [], [], 0)[0])
        if answered or (self._is_idle() and self._is_done(ground) and self._is_idle()):
            os.kill(self.pid, signal.SIGTERM)

    def _is_idle(self) -> bool:
        """Whether a worker waits for work."""
        self._listen()
        return bool(self.calls) and self.calls[-1].endswith(RECEIVE)

    def _is_done(self, ground: Ground) -> bool:
        job = ground.row(self.key)
        # a worker's part is done when the job is: whom it concerns others tell
        return over(ground, self.flow, job) if self.flow.dies == DELIVERER else job is not None and job.done

    def _end(self, status: int) -> None:
        self._listen()
        os.close(self.listens)
        self.status, self.ended_at = status, system_clock()
        answered = self._answer()
        if self.point is None or self.missed:
            return
        if status != -signal.SIGKILL or self._count() != self.point.number + 1:
            self.flaws.append(f"ended with {status} before its point, after {', '.join(self.calls)}")
        if answered:
            self.flaws.append(f"was killed, and had answered {answered!r}")

    def _answer(self) -> bytes:
        if self.client is None:
            return b""
        with self.client, contextlib.suppress(ConnectionResetError):
            return self.client.recv(100)
        return b""


def begin(ground: Ground, nursery: Nursery, flow: Flow, point: Point | None, tenant: str) -> Scene:
    """Make what stands before, and start the process that is to die."""
    queue = ground.new_queue()
    key = flow.begin(ground, tenant, queue)
    request = flow.request(key) if flow.request else None
    if request is None:
        errand = Errand(flow.dies, tenant, queue, point, {})
        pid, listens = nursery.fork(errand)
        client = None
    else:
        pid, listens, client = _ask(nursery, Errand(flow.dies, tenant, queue, point, keys(tenant)), request)
    return Scene(flow, point, tenant, queue, key, request, pid, listens, client, time.monotonic() + PATIENCE)


def keys(*tenants: str) -> dict[str, str]:
    """The API keys of tenants: each has its own name for one."""
    return {hashlib.sha256(tenant.encode()).hexdigest(): tenant for tenant in tenants}


def _ask(nursery: Nursery, errand: Errand, request: Request) -> tuple[int, int, socket.socket]:
    """Start an API and send it `request`, without waiting for an answer: there is none to be had."""
    with socket.create_server((environment.LOOPBACK, 0)) as listener:
        address = listener.getsockname()
        pid, listens = nursery.fork(
            Errand(errand.role, errand.tenant, errand.queue, errand.point, errand.api_keys, listener)
        )
    client = socket.create_connection(address)
    body = json.dumps(request.body).encode() if request.body is not None else b""
    headers = {
        "Host": "api",
        "Authorization": f"Bearer {errand.tenant}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **request.headers,
    }
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return pid, listens, client

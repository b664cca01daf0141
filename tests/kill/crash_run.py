"""One flow played once by a process that is to die in it, or to its end where none is chosen."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import system_clock
from coatcheck_infra.local import environment
from tests.kill.crash_targets import ProcessForker, ProcessSpec
from tests.kill.crashing_transport import HEARTBEAT, LOG, MAIN, RUNNER, CrashPlan, CrashPoint
from tests.kill.emulator import Emulator
from tests.kill.flows import DELIVERER, RECEIVE, WORKER, Flow, Request, over
from tests.processes import processes_with

PATIENCE = 120.0
"""Seconds that a process may take to come to its point."""

ENDED_WITHIN = 15.0
"""Seconds in which the processes that run handlers have ended after the one that they belong to."""


@dataclass
class CrashRun:
    """A flow, and the process in it. `ended_at` is in milliseconds since the epoch; `violations` say what was wrong."""

    flow: Flow
    point: CrashPoint | None
    tenant: str
    queue: str
    key: JobKey
    request: Request | None
    pid: int
    crash_plan: CrashPlan
    client: socket.socket | None
    give_up_at: float
    calls: list[str] = field(default_factory=list)
    status: int | None = None
    ended_at: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What tells it from others, and plays it again."""
        return f'--flow "{self.flow.name}"' + (f" --point {self.point}" if self.point else "")

    @property
    def in_runner(self) -> bool:
        """Whether it is not the process itself that dies, but the one that runs its handler."""
        return self.point is not None and self.point.sequence == RUNNER

    @property
    def missed(self) -> bool:
        """Whether the process ended without coming to its point, as it may with a renewal of the lease."""
        return self.point is not None and self.point.sequence == HEARTBEAT and self._count() <= self.point.number

    def _count(self) -> int:
        return Counter(line.split()[0] for line in self.calls)[self.point.sequence] if self.point else 0

    def poll(self, emulator: Emulator) -> bool:
        """Whether it is over by now."""
        self._read_log()
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if ended:
            self._end(os.waitstatus_to_exitcode(status))
        elif time.monotonic() > self.give_up_at:
            self.violations.append(f"did not come to its point in {PATIENCE:g} s")
            self.give_up_at = math.inf
            os.kill(self.pid, signal.SIGKILL)
        elif self.point is None or self.point.sequence in {HEARTBEAT, RUNNER}:
            self._end_when_done(emulator)
        return bool(ended)

    def _read_log(self) -> None:
        self.calls = self.crash_plan.path.read_text().splitlines()

    def _end_when_done(self, emulator: Emulator) -> None:
        """Let the process end when its flow is through."""
        answered = self.client is not None and bool(select.select([self.client], [], [], 0)[0])
        if answered or (self._is_idle() and self._is_done(emulator) and self._is_idle()):
            os.kill(self.pid, signal.SIGTERM)

    def _is_idle(self) -> bool:
        """Whether a worker waits for work."""
        self._read_log()
        calls = [line for line in self.calls if line.startswith(MAIN)]
        return bool(calls) and calls[-1].endswith(RECEIVE)

    def _is_done(self, emulator: Emulator) -> bool:
        job = emulator.row(self.key)
        # a worker's part is done when the job is: whom it concerns others tell
        return over(emulator, self.flow, job) if self.flow.target == DELIVERER else job is not None and job.done

    def _end(self, status: int) -> None:
        self._read_log()
        self.status, self.ended_at = status, system_clock()
        answered = self._answer()
        if self.flow.target == WORKER and (left := self._await_runners_end()):
            self.violations.append(f"left behind: {', '.join(left)}")
        if self.point is None or self.missed:
            return
        if self.in_runner:
            if status or not self.crash_plan.death.exists():
                self.violations.append(f"ended with {status}, its runner not killed, after {', '.join(self.calls)}")
        elif status != -signal.SIGKILL or self._count() != self.point.number + 1:
            self.violations.append(f"ended with {status} before its point, after {', '.join(self.calls)}")
        if answered:
            self.violations.append(f"was killed, and had answered {answered!r}")

    def _await_runners_end(self) -> Sequence[str]:
        """Wait until the processes that run handlers have ended. Returns the command lines of those that do not."""
        give_up_at = time.monotonic() + ENDED_WITHIN
        while (left := processes_with(f"{LOG}={self.crash_plan.path}")) and time.monotonic() < give_up_at:
            time.sleep(0.02)
        return left

    def _answer(self) -> bytes:
        if self.client is None:
            return b""
        with self.client, contextlib.suppress(ConnectionResetError):
            return self.client.recv(100)
        return b""


def begin(emulator: Emulator, forker: ProcessForker, flow: Flow, point: CrashPoint | None, tenant: str) -> CrashRun:
    """Make what stands before, and start the process that is to die."""
    queue = emulator.new_queue()
    key = flow.precondition(emulator, tenant, queue)
    request = flow.request(key) if flow.request else None
    if request is None:
        spec = ProcessSpec(flow.target, tenant, queue, point, {})
        pid, crash_plan = forker.fork(spec)
        client = None
    else:
        pid, crash_plan, client = _ask(forker, ProcessSpec(flow.target, tenant, queue, point, keys(tenant)), request)
    return CrashRun(flow, point, tenant, queue, key, request, pid, crash_plan, client, time.monotonic() + PATIENCE)


def keys(*tenants: str) -> dict[str, str]:
    """The API keys of tenants: each has its own name for one."""
    return {hashlib.sha256(tenant.encode()).hexdigest(): tenant for tenant in tenants}


def _ask(forker: ProcessForker, spec: ProcessSpec, request: Request) -> tuple[int, CrashPlan, socket.socket]:
    """Start an API and send it `request`, without waiting for an answer: there is none to be had."""
    with socket.create_server((environment.LOOPBACK, 0)) as listener:
        address = listener.getsockname()
        pid, crash_plan = forker.fork(
            ProcessSpec(spec.role, spec.tenant, spec.queue, spec.point, spec.api_keys, listener)
        )
    client = socket.create_connection(address)
    body = json.dumps(request.body).encode() if request.body is not None else b""
    headers = {
        "Host": "api",
        "Authorization": f"Bearer {spec.tenant}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **request.headers,
    }
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return pid, crash_plan, client

"""Processes that are forked off to die: an API, a worker and a sweeper, each the real one but for its door.

A fork has imported everything already and starts in a few milliseconds, so that there can be hundreds.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import uvicorn

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.due_index import DuePage
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import MINUTE, system_clock
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor import __main__ as supervisor
from coatcheck_worker.sweep import sweep
from coatcheck_worker.webhooks import __main__ as deliverer
from tests.kill.crashing_transport import CrashingTransport, CrashPlan, CrashPoint, async_crashing_transport
from tests.kill.emulator import LANE, Emulator
from tests.kill.flows import API, DELIVERER, SWEEPER, WORKER, lane_of
from tests.kill.job_type import CATALOG
from tests.transports import Effect, Fault, FaultyTransport, change, on

MEMORY = "4096"


@dataclass(frozen=True)
class ProcessSpec:
    """What a process is forked for: to play `role` for one tenant, on a queue of its own, and to die at `point`.

    An API serves `listener`, and knows the tenants by `api_keys`. The queue is that of `lane`.
    """

    role: str
    tenant: str
    queue: str
    point: CrashPoint | None
    api_keys: Mapping[str, str]
    listener: socket.socket | None = None

    @property
    def lane(self) -> str:
        """The lane that the process works for."""
        return lane_of(self.role)


def overdue_of(tenant: str) -> Effect:
    """Let a sweeper see the overdue jobs of one tenant alone: others stand beside it."""

    def single_tenant(call: Call[DuePage[JobKey]]) -> Call[DuePage[JobKey]]:
        def read(answer: Mapping[str, Any]) -> DuePage[JobKey]:
            page = call.read(answer)
            return replace(page, keys=[key for key in page.keys if key.tenant == tenant])

        return replace(call, params={**call.params, "Limit": 1000}, read=read)

    return change(single_tenant)


class ProcessForker:
    """Forks processes, none of which outlives this one."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._alive_reader, self._alive_writer = os.pipe()
        self._log = os.open(emulator.scratch / "crash_targets.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def fork(self, spec: ProcessSpec) -> tuple[int, CrashPlan]:
        """Start a process; its id, and its plan, whose file tells of its calls."""
        calls = self._emulator.scratch / f"calls-{secrets.token_hex(6)}.log"
        calls.touch()
        crash_plan = CrashPlan(calls, spec.point)
        pid = os.fork()
        if pid == 0:
            os.close(self._alive_writer)
            self._run_child(spec, crash_plan)
        return pid, crash_plan

    def _run_child(self, spec: ProcessSpec, crash_plan: CrashPlan) -> NoReturn:
        status = 1
        try:
            for descriptor, number in ((self._alive_reader, 0), (self._log, 1), (self._log, 2)):
                os.dup2(descriptor, number)
            threading.Thread(target=_die_with_parent, daemon=True).start()
            self._run_role(spec, crash_plan)
            status = 0
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run on in the child
            traceback.print_exc()
        finally:
            os._exit(status)

    def _run_role(self, spec: ProcessSpec, crash_plan: CrashPlan) -> None:
        settings = self._emulator.settings
        queues = {lane: settings.queues[lane] for lane in (LANE, WEBHOOKS)} | {spec.lane: spec.queue}
        dead = {lane: settings.dead_letters[lane] for lane in queues}
        env = self._emulator.environment(queues=queues, dead_letters=dead, api_keys=spec.api_keys)
        os.environ.clear()
        os.environ.update(env)
        tempfile.tempdir = env["TMPDIR"]
        settings = Settings.from_env(os.environ)
        _ROLES[spec.role](self._emulator, settings, spec, crash_plan)


def _serve(emulator: Emulator, settings: Settings, spec: ProcessSpec, crash_plan: CrashPlan) -> None:
    assert spec.listener is not None
    app = create_app(settings, CATALOG, async_crashing_transport(emulator.connect_async(), crash_plan), UVICORN)
    uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none")).run(sockets=[spec.listener])


def _work(emulator: Emulator, _: Settings, __: ProcessSpec, crash_plan: CrashPlan) -> None:
    sys.argv = ["supervisor", "--lane", LANE, "--memory", MEMORY]
    os.environ.update(crash_plan.environment_of_runner())
    supervisor.main("tests.kill.forkserver", lambda: CrashingTransport(emulator.connect(), crash_plan))


def _sweep_once(emulator: Emulator, settings: Settings, spec: ProcessSpec, crash_plan: CrashPlan) -> None:
    transport = FaultyTransport(
        CrashingTransport(emulator.connect(), crash_plan), Fault(overdue_of(spec.tenant), on("Query"))
    )
    # begins with the first shard, where the jobs are: what it asks of the others comes when its work is done
    sweep(Dependencies(transport, settings, clock=system_clock, roll=lambda: 0.0), until=system_clock() + MINUTE)


def _deliver(emulator: Emulator, _: Settings, __: ProcessSpec, crash_plan: CrashPlan) -> None:
    sys.argv = ["deliverer", "--threads", "1"]
    deliverer.main(lambda: CrashingTransport(emulator.connect(), crash_plan))


_ROLES: Mapping[str, Callable[[Emulator, Settings, ProcessSpec, CrashPlan], None]] = {
    API: _serve,
    WORKER: _work,
    SWEEPER: _sweep_once,
    DELIVERER: _deliver,
}


def _die_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

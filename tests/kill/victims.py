"""Processes that are forked off to die: an API, a worker and a sweeper, each the real one but for its door.

A fork has imported everything already and starts in a few milliseconds, so that there can be hundreds.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar, cast

import uvicorn

from coatcheck.calls import Call
from coatcheck.clock import MINUTE
from coatcheck.deployment import WEBHOOKS, Deployment
from coatcheck.table.due_index import DuePage
from coatcheck.table.keys import JobKey
from service.app import create_app
from service.front_door import UVICORN
from tests.kill.door import AsyncMortal, Fate, Mortal, Point
from tests.kill.flows import API, DELIVERER, SWEEPER, WORKER, lane_of
from tests.kill.ground import LANE, Ground
from tests.kill.work import CATALOG, HANDLERS
from worker import poller
from worker.aws import Aws
from worker.sweep import sweep
from worker.tools import Tools, system_clock
from worker.webhooks import __main__ as deliverer

T = TypeVar("T")

MEMORY = "4096"


@dataclass(frozen=True)
class Errand:
    """What a process is forked for: to play `role` for one tenant, on a queue of its own, and to die at `point`.

    An API serves `listener`, and knows the tenants by `api_keys`. The queue is that of `lane`.
    """

    role: str
    tenant: str
    queue: str
    point: Point | None
    api_keys: Mapping[str, str]
    listener: socket.socket | None = None

    @property
    def lane(self) -> str:
        """The lane that the process works for."""
        return lane_of(self.role)


class Narrow:
    """A sweeper's door through which it sees the overdue jobs of one tenant alone: others stand beside it."""

    def __init__(self, door: Aws, tenant: str) -> None:
        self._door, self._tenant = door, tenant

    def send(self, call: Call[T]) -> T:
        if call.operation != "Query":
            return self._door.send(call)
        return self._door.send(cast("Call[T]", self._narrowed(cast("Call[DuePage[JobKey]]", call))))

    def _narrowed(self, call: Call[DuePage[JobKey]]) -> Call[DuePage[JobKey]]:
        def read(answer: Mapping[str, Any]) -> DuePage[JobKey]:
            page = call.read(answer)
            return replace(page, keys=[key for key in page.keys if key.tenant == self._tenant])

        return replace(call, params={**call.params, "Limit": 1000}, read=read)


class Nursery:
    """Forks processes, none of which outlives this one."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._held, self._holds = os.pipe()
        self._log = os.open(ground.scratch / "victims.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def fork(self, errand: Errand) -> tuple[int, int]:
        """Start a process; its id, and the file descriptor on which it tells of its calls."""
        listens, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(self._holds)
            self._become(errand, tells)
        os.close(tells)
        return pid, listens

    def _become(self, errand: Errand, tells: int) -> NoReturn:
        status = 1
        try:
            for descriptor, number in ((self._held, 0), (self._log, 1), (self._log, 2)):
                os.dup2(descriptor, number)
            threading.Thread(target=_die_with_parent, daemon=True).start()
            self._play(errand, Fate(tells, errand.point))
            status = 0
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run on in the child
            traceback.print_exc()
        finally:
            os._exit(status)

    def _play(self, errand: Errand, fate: Fate) -> None:
        deployment = self._ground.deployment
        queues = {lane: deployment.queues[lane] for lane in (LANE, WEBHOOKS)} | {errand.lane: errand.queue}
        dead = {lane: deployment.dead_letters[lane] for lane in queues}
        env = self._ground.environment(queues=queues, dead_letters=dead, api_keys=errand.api_keys)
        os.environ.clear()
        os.environ.update(env)
        tempfile.tempdir = env["TMPDIR"]
        deployment = Deployment.from_env(os.environ)
        _ROLES[errand.role](self._ground, deployment, errand, fate)


def _serve(ground: Ground, deployment: Deployment, errand: Errand, fate: Fate) -> None:
    assert errand.listener is not None
    app = create_app(deployment, CATALOG, AsyncMortal(ground.connect_async(), fate), UVICORN)
    uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none")).run(sockets=[errand.listener])


def _work(ground: Ground, _: Deployment, __: Errand, fate: Fate) -> None:
    sys.argv = ["poller", "--lane", LANE, "--memory", MEMORY]
    poller.main(HANDLERS, lambda: Mortal(ground.connect(), fate))


def _sweep_once(ground: Ground, deployment: Deployment, errand: Errand, fate: Fate) -> None:
    door = Narrow(Mortal(ground.connect(), fate), errand.tenant)
    # begins with the first shard, where the jobs are: what it asks of the others comes when its work is done
    sweep(Tools(door, deployment, {}, clock=system_clock, roll=lambda: 0.0), until=system_clock() + MINUTE)


def _deliver(ground: Ground, _: Deployment, __: Errand, fate: Fate) -> None:
    sys.argv = ["deliverer", "--threads", "1"]
    deliverer.main(lambda: Mortal(ground.connect(), fate))


_ROLES: Mapping[str, Callable[[Ground, Deployment, Errand, Fate], None]] = {
    API: _serve,
    WORKER: _work,
    SWEEPER: _sweep_once,
    DELIVERER: _deliver,
}


def _die_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

"""What the images do when they run: `python -m tests.container.journey API WORKER`, in a network of its own.

Folders of built images are given. Prints what it found. Everything, emulator and containers, is on the loopback
interface, and there is no other.
"""

from __future__ import annotations

import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coatcheck import Client
from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey, make_key, read_key
from coatcheck.core.aws.dynamodb.key_items import put_key
from coatcheck.core.clock import system_clock
from coatcheck_infra.container_programs import API_PORT, BEHIND_LOAD_BALANCER, SWEEPER
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.template_containers import lane_part
from tests.aws.emulators import environ_of
from tests.container.rootfs import BuiltImage
from tests.container.runtime import Container, container
from tests.kill.emulator import Emulator, emulator
from tests.waiting import eventually

GRACE = 5
"""Seconds that a job is given on SIGTERM here."""

COMPILED = """\
import sys, os, coatcheck_worker.supervisor.__main__, jobs.tables
made = [m for m in list(sys.modules.values()) if getattr(m, "__file__", "") and m.__file__.startswith("/app/")]
missing = [m.__name__ for m in made if m.__file__.endswith(".py") and not os.path.exists(m.__cached__ or "")]
sys.exit(f"not compiled: {missing}" if missing or not made else 0)
"""
CONFINED = """\
import os, socket, sys
faults = []
if os.getuid() == 0 or os.getgid() == 0: faults.append("runs as root")
for path in ("/app/x", "/x", "/etc/x"):
    try: open(path, "w"); faults.append(f"may write {path}")
    except OSError: pass
open("/tmp/x", "w").close()
if [name for _, name in socket.if_nameindex()] != ["lo"]: faults.append("has a network")
sys.exit("; ".join(faults) or 0)
"""
HIDDEN = """\
import glob, os, sys
faults = []
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        if path != f"/proc/{os.getpid()}/environ" and "AWS_SECRET_ACCESS_KEY" in open(path).read():
            faults.append(f"finds credentials in {path}")
    except OSError: pass
sys.exit("; ".join(faults) or 0)
"""


@dataclass(frozen=True)
class Stage:
    """Where the containers run: an emulator, the two images, and where they write."""

    aws: Emulator
    api: BuiltImage
    worker: BuiltImage
    scratch: Path

    def environment(self) -> dict[str, str]:
        """The environment that a deployment would give a container."""
        settings = self.aws.environment()
        ours = {name: value for name, value in settings.items() if name.startswith("COATCHECK_")}
        ours.pop("COATCHECK_JOBS")
        return {**ours, **environ_of(self.aws.url), "COATCHECK_PUBLIC_URL": f"http://127.0.0.1:{API_PORT}"}

    @contextmanager
    def run(self, image: BuiltImage, name: str, *command: str, **options: list[str]) -> Iterator[Container]:
        """Run a container, with these words in place of the image's own command."""
        log = self.scratch / f"{name}.log"
        words: Mapping[str, object] = {"command": command or None, **options}
        with container(image, self.environment(), log, **words) as running:  # type: ignore[arg-type]
            yield running


def journey(stage: Stage) -> None:
    """Run each container, and fail at the first thing that is not as it should be."""
    # as the template starts it
    arguments = BEHIND_LOAD_BALANCER.arguments
    with (
        stage.run(stage.api, "api", *arguments) as api,
        Client(f"http://127.0.0.1:{API_PORT}", _key(stage.aws)) as client,
    ):
        _say("the API is healthy", _seconds_until(api.is_healthy, api))
        _check(api, CONFINED)
        _jobs_run(stage, client)
        _job_is_handed_back(stage, client)
        _others_run(stage)
        began = time.monotonic()
        assert api.stop(GRACE + 10) == 0, api.log.read_text()
        _say("the API has ended after SIGTERM", time.monotonic() - began)


def _jobs_run(stage: Stage, client: Client) -> None:
    query = {"sql": "SELECT count(*) AS n, sum(range) AS total FROM range(1000)"}
    jobs = [client.submit("table.query", query), client.submit("demo.bytes", {"size": 3_000_000, "seed": 7})]
    # as the template starts those of a lane
    lane = lane_part("default", Lane(kind="container")).program
    with stage.run(stage.worker, "worker-1", *lane.arguments) as worker:
        for job in jobs:
            done = client.wait(job.id, timeout=120)
            assert done.succeeded, (done.error, worker.log.read_text()[-3000:])
        _say("jobs of two types have succeeded", None)
        _say("the worker is healthy", _seconds_until(worker.is_healthy, worker))
        for code in (CONFINED, COMPILED, HIDDEN):
            _check(worker, code)
        began = time.monotonic()
        assert worker.stop(60) == 0, worker.log.read_text()
        _say("an idle worker has ended after SIGTERM", time.monotonic() - began)


def _job_is_handed_back(stage: Stage, client: Client) -> None:
    """A worker that is stopped in the middle of a job: another one has it within seconds, and no attempt is lost."""
    job = client.submit("demo.sleep", {"seconds": 600, "steps": 600})
    is_running = partial(_has_status, client, job.id, "running")
    with stage.run(stage.worker, "worker-2", "--grace", str(GRACE)) as worker:
        eventually(is_running, described=worker.log.read_text)
        left = _attempts_left(client, job.id)
        began = time.monotonic()
        assert worker.stop(GRACE + 10) == 0, worker.log.read_text()
        _say("a worker in mid-job has ended after SIGTERM", time.monotonic() - began)
    assert _has_status(client, job.id, "queued"), client.job(job.id).status
    with stage.run(stage.worker, "worker-3") as other:
        _say("another worker has the job", _seconds_until(is_running, other))
        assert _attempts_left(client, job.id) == left
        client.cancel(job.id)
        assert client.wait(job.id, timeout=60).status == "canceled"


def _others_run(stage: Stage) -> None:
    with stage.run(stage.worker, "sweeper", "--every", "1", entrypoint=[*SWEEPER.entrypoint]) as running:
        _say("the sweeper is healthy", _seconds_until(running.is_healthy, running))
        assert running.stop(30) == 0, running.log.read_text()
    with stage.run(stage.worker, "deliverer", "--lane", "webhooks") as running:
        _say("the deliverer is healthy", _seconds_until(running.is_healthy, running))
        assert running.stop(30) == 0, running.log.read_text()


def _key(aws: Emulator) -> str:
    text = make_key(secrets.token_bytes)
    read = read_key(text)
    assert aws.aws.send(
        put_key(aws.settings.table, ApiKey(read.id, read.digest, "acme", TENANT_SCOPES, system_clock()))
    )
    return text


def _has_status(client: Client, job_id: str, status: str) -> bool:
    return client.job(job_id).status == status


def _attempts_left(client: Client, job_id: str) -> int:
    view = client.job(job_id).view
    return int(view["max_attempts"]) - int(view["attempt"])


def _check(running: Container, code: str) -> None:
    done = running.execute(["python", "-c", code])
    assert done.returncode == 0, done.stderr


def _seconds_until(condition: Callable[[], bool], running: Container) -> float:
    began = time.monotonic()
    eventually(condition, described=running.log.read_text)
    return time.monotonic() - began


def _say(what: str, seconds: float | None) -> None:
    sys.stdout.write(f"{what}{'' if seconds is None else f': {seconds:.1f} s'}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the images, start the emulator, and go."""
    assert [name for _, name in socket.if_nameindex()] == ["lo"], "this belongs into a network of its own"
    api, worker = (BuiltImage.load(Path(word)) for word in sys.argv[1:])
    with (
        tempfile.TemporaryDirectory(prefix="coatcheck-container-") as scratch,
        emulator(Path(scratch), lease=60) as aws,
    ):
        journey(Stage(aws, api, worker, Path(scratch)))


if __name__ == "__main__":
    main()

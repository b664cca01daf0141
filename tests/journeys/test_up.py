"""Starting and stopping `coatcheck up`: what it leaves, what it survives, what it says."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from coatcheck_infra.toolchain.environments import MINISTACK
from tests.journeys.results import fetch_result, submitted
from tests.journeys.up_process import COATCHECK, Stack, UpProcess, processes_of
from tests.repository import ROOT
from tests.waiting import eventually

StartUp = Callable[..., UpProcess]

BOTH_WAYS = pytest.mark.parametrize("way", [(), ("--whole",)], ids=["up", "whole"])
FROM_CHECKOUT = (".venv/bin/python", "-c", "from coatcheck.cli.main import main; main()")
LONG_JOB = {"type": "demo.sleep", "input": {"seconds": 60}}


def failure(up: UpProcess) -> str:
    """The one line with which `up` failed."""
    assert up.process.wait(60) == 1, up.output()
    *_, last = up.output().splitlines()
    assert last.startswith("coatcheck up: ")
    assert "Traceback" not in last
    return last


def submit(stack: Stack) -> str:
    """Submit a long job; the answer is its path, once it runs."""
    with stack.client() as http:
        path = f"/v1/jobs/{http.post('/v1/jobs', json=LONG_JOB).raise_for_status().json()['id']}"
        eventually(lambda: http.get(path).json()["status"] == "running")
    return path


def listens(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", httpx.URL(url).port or 80)) == 0


def nothing_is_left_of(stack: Stack) -> bool:
    gone = not stack.processes() and not listens(stack.url) and not listens(stack.aws_endpoint_url)
    return gone and {one.name for one in stack.home.iterdir()} - {"code"} == {"api-key", "lock", "logs", "state"}


def test_says_where_it_is(front_door: Stack) -> None:
    endpoint = front_door.home / "endpoint.json"
    assert stat.S_IMODE(endpoint.stat().st_mode) == 0o600
    assert front_door.pid in front_door.processes()
    assert httpx.get(f"{front_door.url}/v1/health").status_code == 200
    assert httpx.get(f"{front_door.url}/v1/jobs").status_code == 401
    with front_door.client() as http:
        assert http.get("/v1/jobs").status_code == 200
    output = front_door.log.read_text()
    for place in (front_door.url, f"{front_door.url}/docs", front_door.api_key):
        assert place in output


def test_listens_on_loopback_only(front_door: Stack) -> None:
    sockets = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()]
    listening = [line[1].split(":") for line in sockets if line[3] == "0A"]
    for url in (front_door.url, front_door.aws_endpoint_url):
        port = f"{httpx.URL(url).port:04X}"
        assert [address for address, used in listening if used == port] == ["0100007F"]


def test_each_line_says_which_part_speaks(front_door: Stack) -> None:
    banner = r"\n\n(?=  Coatcheck is ready)|(?<=begins without them\.)\n\n"
    before, ready, after = re.split(banner, front_door.log.read_text())
    assert "coatcheck submit demo.sleep" in ready
    for line in (before + "\n" + after).splitlines():
        assert re.fullmatch(r"(up|aws|api|admin|worker|deliverer|sweeper|gateway|build) +│ .*", line), line
    assert "\x1b" not in before + ready + after
    assert "CloudWatchMetrics" not in after


@pytest.mark.parametrize(
    ("way", "number"),
    [((), signal.SIGTERM), ((), signal.SIGINT), (("--whole",), signal.SIGTERM)],
    ids=["up-SIGTERM", "up-SIGINT", "whole-SIGTERM"],
)
def test_stops_in_mid_job_and_leaves_nothing(start_up: StartUp, way: tuple[str, ...], number: signal.Signals) -> None:
    up = start_up(*way)
    stack = up.ready()
    submit(stack)
    assert up.stop(number) == 0
    assert nothing_is_left_of(stack)


@BOTH_WAYS
def test_kill_9_leaves_nothing(start_up: StartUp, way: tuple[str, ...]) -> None:
    up = start_up(*way)
    stack = up.ready()
    submit(stack)
    up.kill()
    eventually(lambda: nothing_is_left_of(stack), described=stack.processes)


def test_kill_9_while_starting_leaves_nothing(start_up: StartUp) -> None:
    up = start_up()
    eventually(lambda: len(processes_of(up.home)) > 2, described=up.output)
    up.kill()
    eventually(lambda: not processes_of(up.home), described=lambda: processes_of(up.home))


def test_a_home_is_used_again_with_the_same_key(start_up: StartUp) -> None:
    up = start_up()
    first = up.ready()
    with first.client() as http:
        assert http.get("/v1/jobs").json() == {"data": [], "next": None}, "the first job is not the user's"
    up.kill()
    eventually(lambda: not processes_of(up.home))
    again = start_up(home=up.home).ready()
    assert again.api_key == first.api_key
    assert again.pid != first.pid


def test_a_taken_port(start_up: StartUp, stack: Stack) -> None:
    port = str(httpx.URL(stack.url).port)
    up = start_up("--port", port)
    assert f"port {port} is taken: choose another with --port" in failure(up)
    assert up.output().count("\n") == 1
    assert not up.home.exists()


def test_a_home_in_use(start_up: StartUp, stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(stack.home)
    for options in ((), ("--port", str(httpx.URL(stack.url).port))):
        up = start_up(*options, home=tmp_path / "link")
        assert f"another coatcheck up (pid {stack.pid}) uses {stack.home}" in failure(up)
    assert httpx.get(f"{stack.url}/v1/health").is_success


def test_a_home_that_cannot_be_made(start_up: StartUp, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"cannot use --home {tmp_path}/file/home: " in failure(start_up(home=tmp_path / "file" / "home"))


def test_a_full_disk(start_up: StartUp, tmp_path: Path) -> None:
    namespace = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    small = f'mount -t tmpfs -o size=1m none {tmp_path} && exec "$@"'
    if subprocess.run([*namespace, small, "sh", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody but root mount a small disk")
    up = start_up(home=tmp_path / "home", command=(*namespace, small, "sh", *COATCHECK))
    assert f"the disk of {tmp_path}/home is full: " in failure(up)


PARTS = {"api": "coatcheck_service.main:app", "worker": "-m coatcheck_worker ", "sweeper": "-m coatcheck_worker.sweep "}


def processes(stack: Stack, part: str) -> set[int]:
    return {number for number, command in stack.processes().items() if PARTS[part] in command}


def test_a_part_that_was_killed_comes_back(start_up: StartUp) -> None:
    up = start_up()
    stack = up.ready()

    def is_back(part: str, killed: int) -> bool:
        told = re.search(rf"{part} +│ was killed by SIGKILL; starting it again", up.output())
        return bool(told) and processes(stack, part) not in (set(), {killed})

    for part in PARTS:
        (number,) = processes(stack, part)
        os.kill(number, signal.SIGKILL)
        eventually(functools.partial(is_back, part, number), described=up.output)
    with stack.client() as http:
        assert fetch_result(http, submitted(http, "demo.sleep", {"seconds": 0})).status_code == 200


@BOTH_WAYS
def test_ends_with_the_emulator(start_up: StartUp, way: tuple[str, ...]) -> None:
    up = start_up(*way)
    stack = up.ready()
    (number,) = (
        number for number, command in stack.processes().items() if "coatcheck_infra.local.ministack" in command
    )
    os.kill(number, signal.SIGKILL)
    assert "the AWS emulator was killed by SIGKILL" in failure(up)
    assert nothing_is_left_of(stack)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code, to be edited, with an environment in which it is installed."""
    copy = tmp_path / "checkout"
    for package in ("coatcheck", "service", "worker", "infra", "example"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "build"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    venv.create(copy / ".venv", symlinks=True)
    (packages,) = (copy / ".venv").glob("lib/python*/site-packages")
    paths = [copy, *(copy / folder for folder in ("service", "worker", "infra")), sysconfig.get_path("purelib")]
    (packages / "checkout.pth").write_text("\n".join(map(str, paths)))
    return copy


def test_reloads_changed_code(start_up: StartUp, checkout: Path) -> None:
    up = start_up(command=FROM_CHECKOUT, cwd=checkout)
    stack = up.ready()
    eventually(lambda: all(processes(stack, name) for name in PARTS), described=up.output)
    parts = {name: processes(stack, name) for name in PARTS}
    declared = checkout / "example" / "jobs" / "demo.py"
    code = declared.read_text()

    def title() -> str:
        # the server that is replaced may close a connection that has just been made
        with stack.client() as http, contextlib.suppress(httpx.RemoteProtocolError):
            return str(http.get("/v1/job-types/demo.sleep").json()["title"])
        return ""

    def says(line: str) -> bool:
        return f"up        │ {line}\n" in up.output()

    before = title()
    declared.write_text(f"{code}\n)")
    line = len(code.splitlines()) + 2
    eventually(lambda: says(f"not reloaded: jobs/demo.py:{line}: unmatched ')'"), described=up.output)
    declared.write_text(f"{code}\nraise RuntimeError('not today')\n")
    eventually(lambda: says(f"not reloaded: jobs/demo.py:{line}: RuntimeError: not today"), described=up.output)
    declared.write_text(code.replace('"demo.sleep"', '"demo.sleep", lane="nowhere"'))
    refused = 'demo.sleep: lane "nowhere" is not in [tool.coatcheck.lanes]'
    eventually(lambda: refused in up.output(), described=up.output)
    assert title() == before
    assert {name: processes(stack, name) for name in PARTS} == parts, "the old code goes on"

    job = submit(stack)
    declared.write_text(code.replace('title="Sleep"', 'title="Nap"'))
    eventually(lambda: title() == "Nap", described=up.output)
    assert says("reloaded: jobs/demo.py (api, worker)")
    eventually(lambda: re.search(r"worker +│ .* waiting for .*demo\.sleep", up.output()), described=up.output)
    with stack.client() as http:
        assert http.get(job).json()["status"] == "running", "it is not interrupted"

    parts = {name: processes(stack, name) for name in PARTS}
    of_a_handler = checkout / "example" / "jobs" / "query_process.py"
    of_a_handler.write_text(f"{of_a_handler.read_text()}\n")
    eventually(lambda: says("reloaded: jobs/query_process.py (worker)"), described=up.output)
    eventually(lambda: not processes(stack, "worker") <= parts["worker"], described=up.output)
    assert processes(stack, "api") == parts["api"]

    ours = checkout / "service" / "coatcheck_service" / "main.py"
    line = len(ours.read_text().splitlines()) + 1
    ours.write_text(f"{ours.read_text()}raise RuntimeError('not today')\n")
    error = f"service/coatcheck_service/main.py:{line}: RuntimeError: not today"
    eventually(lambda: says(f"not reloaded: {error}"), described=up.output)
    assert up.stop() == 0, up.output()


def test_the_first_use_without_a_network(start_up: StartUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COATCHECK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    up = start_up()
    assert failure(up).startswith("coatcheck up: cannot install the AWS emulator: Because ")
    starting, installing, _ = up.output().splitlines()
    assert starting.endswith("starting the AWS emulator")
    assert f"installing the AWS emulator into {tmp_path}/cache/ministack/" in installing
    assert not list((tmp_path / "cache" / "ministack").iterdir())


def test_an_emulator_that_does_not_start(start_up: StartUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COATCHECK_CACHE", str(tmp_path))
    python = MINISTACK.python(os.environ)
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho no luck; exit 3\n")
    python.chmod(0o755)
    up = start_up()
    assert "the AWS emulator ended with status 3; see its last lines above" in failure(up)
    assert "aws       │ no luck" in up.output()


def test_resources_that_cannot_be_made(start_up: StartUp, checkout: Path) -> None:
    template = checkout / "infra" / "coatcheck_infra" / "template.yaml"
    template.write_text(template.read_text().replace("!GetAtt DefaultDeadLetters.Arn", "!GetAtt Nowhere.Arn"))
    up = start_up(command=FROM_CHECKOUT, cwd=checkout)
    assert "cannot make the resources of template.yaml: DefaultQueue: Invalid value" in failure(up)


def test_a_part_that_cannot_start(start_up: StartUp, checkout: Path) -> None:
    (checkout / "service" / "coatcheck_service" / "main.py").write_text("raise RuntimeError('not today')\n")
    up = start_up(command=FROM_CHECKOUT, cwd=checkout)
    assert "the api ended with status 1 while starting; see its lines above" in failure(up)
    assert "not today" in up.output()

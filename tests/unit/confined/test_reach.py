"""What can be reached from inside of a confined process, and what without it."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from coatcheck import LocalContext, confined
from coatcheck.confined import Protection, landlock, seccomp
from coatcheck.linux import Kernel
from tests.repository import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the protections are Linux's")

SECRET = "hush-4f1c9e70"
FILES, SYSTEM_CALLS, HIDDEN = Protection.FILES, Protection.SYSTEM_CALLS, Protection.HIDDEN
# by probe: any of these refuses it; none where a new process with a clean environment is enough
REFUSED_BY: dict[str, set[Protection]] = {
    "environment": set(),
    "inherited_descriptor": set(),
    "environment_of_parent": {FILES, HIDDEN},
    "environment_of_other": {FILES},
    "memory_of_parent_by_file": {FILES, HIDDEN},
    "descriptor_of_parent": {FILES, HIDDEN},
    "memory_of_parent_by_call": {SYSTEM_CALLS, HIDDEN},
    "trace_parent": {SYSTEM_CALLS, HIDDEN},
    "connect_tcp": {SYSTEM_CALLS},
    "send_udp": {SYSTEM_CALLS},
    "connect_unix": {SYSTEM_CALLS},
    "connect_abstract": {SYSTEM_CALLS},
    "netlink": {SYSTEM_CALLS},
    "socket_pair": {SYSTEM_CALLS},
    "read_file": {FILES},
    "read_password_file": {FILES},
    "list_folder": {FILES},
    "write_file": {FILES},
    "change_file": {FILES},
    "change_input": {FILES},
    "truncate_file": {FILES},
    "remove_file": {FILES},
    "shared_folder": {FILES},
    "change_mode": {SYSTEM_CALLS},
    "change_times": {SYSTEM_CALLS},
    "link_symbolic": {SYSTEM_CALLS, FILES},
    "link_hard": {SYSTEM_CALLS, FILES},
    "make_fifo": {SYSTEM_CALLS, FILES},
    "signal_other": {SYSTEM_CALLS},
    "signal_thread_of_other": {SYSTEM_CALLS},
    "signal_all_of_session": {SYSTEM_CALLS},
    "signal_by_descriptor": {SYSTEM_CALLS},
    "descriptor_of_other": {SYSTEM_CALLS},
    "slow_other": {SYSTEM_CALLS},
    "limit_other": {SYSTEM_CALLS},
    "bind_other_to_processor": {SYSTEM_CALLS},
    "fork": {SYSTEM_CALLS},
    "start_program": {SYSTEM_CALLS},
    "replace_program": {SYSTEM_CALLS},
    "leave_session": {SYSTEM_CALLS},
    "new_namespace": {SYSTEM_CALLS},
    "memory_file": {SYSTEM_CALLS},
    "memory_shared": {SYSTEM_CALLS},
    "memory_that_grows_down": {SYSTEM_CALLS},
    "memory_of_system_v": {SYSTEM_CALLS},
    "outlive_parent": {SYSTEM_CALLS},
    "watch_files": {SYSTEM_CALLS},
    "become_traceable": {SYSTEM_CALLS},
    "ring": {SYSTEM_CALLS},
    "raise_limit": {Protection.LIMITS},
}
# some machines refuse these to everybody
NOT_EVERYWHERE = {
    *("trace_parent", "memory_of_parent_by_call", "memory_of_parent_by_file", "new_namespace", "ring"),
    *("memory_of_system_v", "shared_folder", "raise_limit"),
}
# they need what only a confined process has, or would end the other
CONFINED_ALONE = {"replace_program", "inherited_descriptor", "leave_session"}


class Attempt(BaseModel):
    reached: bool
    error: str | None


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What there is to reach: in this process, in another one, in the file system, on the network."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    held = ctypes.create_string_buffer(SECRET.encode())
    folder = tmp_path / "others"
    folder.mkdir()
    for name in ("file", "spare", "removable", "input"):
        (folder / name).write_text(SECRET)
    abstract = f"coatcheck-{os.getpid()}"
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        for address in (str(folder / "socket"), f"\0{abstract}"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(address)
            server.listen()
        opened = stack.enter_context((folder / "file").open())
        os.set_inheritable(opened.fileno(), True)
        # started now, so that its environment has the secret
        other = stack.enter_context(subprocess.Popen(["sleep", "600"]))
        stack.callback(other.kill)
        yield {
            "secret": SECRET,
            "address": ctypes.addressof(held),
            "parent": os.getpid(),
            "other": other.pid,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(folder / "socket"),
            "abstract": abstract,
            "descriptor": opened.fileno(),
            "folder": str(folder),
            **{name: str(folder / name) for name in ("file", "spare", "removable", "input")},
        }


UNCONFINED = """
import json, sys
from tests.unit.confined import probes
print(json.dumps(probes.attempt(json.loads(sys.argv[1]))))
"""


def unconfined(given: dict[str, Any]) -> Attempt:
    command = [sys.executable, "-c", UNCONFINED, json.dumps(given)]
    return Attempt.model_validate_json(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)


@pytest.mark.parametrize("probe", [probe for probe in REFUSED_BY if probe not in CONFINED_ALONE])
def test_without_confinement_it_is_reached(given: dict[str, Any], probe: str) -> None:
    attempt = unconfined({**given, "probe": probe})
    if not attempt.reached and probe in NOT_EVERYWHERE:
        pytest.skip(f"this machine refuses it to everybody: {attempt.error}")
    assert attempt.reached, attempt.error


@pytest.mark.parametrize("probe", REFUSED_BY)
def test_it_is_out_of_reach(
    ctx: LocalContext, given: dict[str, Any], in_force: frozenset[Protection], probe: str
) -> None:
    needed = REFUSED_BY[probe]
    if needed and not needed & in_force:
        pytest.skip(f"this machine has no protection {' or '.join(sorted(needed))}")
    answer = confined.run(
        ctx,
        "tests.unit.confined.probes:attempt",
        {**given, "probe": probe},
        returns=Attempt,
        files={"input": Path(given["input"])},
    )
    assert not answer.value.reached
    assert (Path(given["folder"]) / "file").read_text() == SECRET


def test_each_protection_that_the_kernel_has_is_in_force(in_force: frozenset[Protection]) -> None:
    lacking = set()
    if not landlock.version(Kernel()):
        lacking.add(Protection.FILES)
    if not seccomp.available() or not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        lacking.add(Protection.SYSTEM_CALLS)
    # it depends on who runs this, and on who can read this Python
    assert in_force | {Protection.OTHER_USER} == set(Protection) - lacking

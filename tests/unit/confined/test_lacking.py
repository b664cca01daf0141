"""What is left where the kernel lacks Landlock, as that of a Lambda function may: a filter says for it that it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coatcheck.confined import Protection, seccomp
from tests.repository import ROOT

# the parent of a confined process; its kernel has no landlock_create_ruleset from here on
WORKER = """
import ctypes, json, os, sys
from pathlib import Path
from pydantic import BaseModel
from coatcheck import LocalContext, confined
from coatcheck.confined import bpf, landlock
from coatcheck.linux import PR_SET_NO_NEW_PRIVS, Kernel

class Attempt(BaseModel):
    reached: bool
    error: str | None

none = [bpf.do(bpf.RETURN, bpf.UNKNOWN)]
program = [bpf.do(bpf.LOAD, bpf.NUMBER), *bpf.rule(landlock.CREATE_RULESET, none), bpf.do(bpf.RETURN, bpf.ALLOW)]
Kernel().prctl(PR_SET_NO_NEW_PRIVS, 1)
bpf.install(Kernel(), program)

secret = ctypes.create_string_buffer(b"hush-4f1c9e70")
opened = open(sys.argv[2])
given = {
    "secret": "hush-4f1c9e70", "address": ctypes.addressof(secret), "parent": os.getpid(), "descriptor": opened.fileno()
}
ctx = LocalContext(Path(sys.argv[1]))
found = {"protections": sorted(confined.protections())}
for probe in sys.argv[3:]:
    tried = confined.run(ctx, "tests.unit.confined.probes:attempt", {**given, "probe": probe}, returns=Attempt).value
    found[probe] = tried.error if not tried.reached else "reached"
print(json.dumps(found))
"""
OF_THE_PARENT = (
    *("environment_of_parent", "memory_of_parent_by_file", "memory_of_parent_by_call"),
    *("trace_parent", "descriptor_of_parent", "netlink"),
)


@pytest.mark.skipif(sys.platform != "linux" or not seccomp.available(), reason="needs seccomp")
def test_the_worker_is_hidden_without_landlock_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hush-4f1c9e70")
    workdir = tmp_path / "attempt"
    workdir.mkdir()
    command = [sys.executable, "-c", WORKER, str(workdir), str(tmp_path / "file"), *OF_THE_PARENT]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert Protection.FILES not in found["protections"]
    assert {Protection.HIDDEN, Protection.SYSTEM_CALLS} <= set(found["protections"])
    refused = ("[Errno 1]", "[Errno 13]")
    assert all(str(found[probe]).startswith(refused) for probe in OF_THE_PARENT), found

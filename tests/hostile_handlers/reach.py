"""What a process can reach of the worker's, and of other jobs'."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3

from coatcheck_worker.runner.main_loop import ChannelPort


def reachable() -> str:
    """The names of the attacks that succeed from here."""
    return " ".join(sorted(name for name, tries in ATTACKS.items() if _succeeds(tries)))


def _succeeds(tries: Callable[[], object]) -> bool:
    try:
        return bool(tries())
    except Exception:  # noqa: BLE001 - whatever refuses it
        return False


def _supervisor() -> int:
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])


def _reads_memory() -> bool:
    """By process_vm_readv, of a byte that is mapped in every Python."""
    libc = ctypes.CDLL(None, use_errno=True)
    for process in (_supervisor(), os.getppid()):
        with contextlib.suppress(OSError):
            maps = Path(f"/proc/{process}/maps").read_text()
            address = int(maps.partition("-")[0], 16)
            local = ctypes.create_string_buffer(1)
            mine = (ctypes.c_void_p * 2)(ctypes.addressof(local), 1)
            theirs = (ctypes.c_void_p * 2)(address, 1)
            if libc.process_vm_readv(process, mine, 1, theirs, 1, 0) == 1:
                return True
    return False


def _traces_supervisor() -> bool:
    ptrace_attach = 16
    return bool(ctypes.CDLL(None, use_errno=True).ptrace(ptrace_attach, _supervisor(), 0, 0) == 0)


def _reads_another_job() -> bool:
    port = next(one for one in gc.get_objects() if isinstance(one, ChannelPort))
    endpoint, headers = os.environ["AWS_ENDPOINT_URL"], {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    wanted = ("results/other/job_1/1/1/result", "inputs/other/job_1/1/input-00", "uploads/other/upl_1", "")
    signed = 0
    for key in wanted:
        for method in ("GET", "PUT", "DELETE"):
            with contextlib.suppress(PermissionError):
                signed += bool(port.sign(method, f"{endpoint}/coatcheck/{key}", headers))
    return signed > 0


def _succeeded(action: Callable[..., object], *arguments: object) -> Callable[[], bool]:
    """Whether an action that returns nothing raises nothing either."""

    def tries() -> bool:
        action(*arguments)
        return True

    return tries


def _calls(service: str, operation: str) -> Callable[[], object]:
    # the client is made when it is tried
    return lambda: bool(getattr(boto3.client(service), operation)())


def _neighbours() -> Iterator[int]:
    """Other runners, which run other tenants' jobs."""
    for folder in Path("/proc").glob("[0-9]*"):
        process = int(folder.name)
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getppid() and process != os.getpid():
                yield process


def _reads_neighbours() -> bool:
    for process in _neighbours():
        for name in ("mem", "environ", "maps"):
            with contextlib.suppress(OSError):
                os.close(os.open(f"/proc/{process}/{name}", os.O_RDONLY))
                return True
    return False


ATTACKS: dict[str, Callable[[], object]] = {
    "credentials-in-environment": lambda: os.environ.get("AWS_SECRET_ACCESS_KEY"),
    "credentials-of-the-sdk": lambda: boto3.Session().get_credentials(),
    "settings": lambda: [name for name in os.environ if name.startswith("COATCHECK_") and name != "COATCHECK_JOBS"],
    "table": _calls("dynamodb", "list_tables"),
    "queues": _calls("sqs", "list_queues"),
    "buckets": _calls("s3", "list_buckets"),
    "secrets": _calls("secretsmanager", "list_secrets"),
    "another-job": _reads_another_job,
    "supervisor-environment": lambda: Path(f"/proc/{_supervisor()}/environ").read_bytes(),
    "supervisor-descriptors": lambda: [one.readlink() for one in Path(f"/proc/{_supervisor()}/fd").iterdir()],
    "memory-file": lambda: os.open(f"/proc/{_supervisor()}/mem", os.O_RDONLY),
    "memory": _reads_memory,
    "trace": _traces_supervisor,
    "privileges": _succeeded(os.setgroups, [0]),
    "signals": _succeeded(lambda: os.kill(_supervisor(), 0)),
    "signals-to-the-first": _succeeded(os.kill, 1, 0),
    "descriptors": lambda: [one for one in Path("/proc/self/fd").iterdir() if int(one.name) > 8],
    "neighbours": _reads_neighbours,
    "files-of-neighbours": lambda: list(Path(tempfile.gettempdir()).parent.glob("coatcheck-runner-*"))[1:],
    "network": lambda: socket.create_server(("127.0.0.1", 0)),
}
"""What a handler may try. The network is open to it."""

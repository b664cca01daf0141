"""What hostile code tries once it runs: each function returns whether it got there. Called confined, and without.

An OSError is a refusal. What they try to reach is made by the test, and named in the argument.
"""

# ruff: noqa: ARG001, PTH208 - each is handed all there is to reach; a folder is listed by one call
from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from coatcheck.confined import ConfinedContext

Given = dict[str, Any]
libc = ctypes.CDLL(None, use_errno=True)


def call(function: Any, *arguments: Any) -> int:
    """The result of a function of the C library. Raises OSError where it fails."""
    result = int(function(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def environment(given: Given) -> bool:
    return given["secret"] in "\n".join(os.environ.values())


def environment_of_parent(given: Given) -> bool:
    return bool(Path(f"/proc/{given['parent']}/environ").read_bytes())


def environment_of_other(given: Given) -> bool:
    return given["secret"].encode() in Path(f"/proc/{given['other']}/environ").read_bytes()


def memory_of_parent_by_file(given: Given) -> bool:
    with Path(f"/proc/{given['parent']}/mem").open("rb", buffering=0) as memory:
        memory.seek(given["address"])
        return bool(memory.read(len(given["secret"])) == given["secret"].encode())


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def memory_of_parent_by_call(given: Given) -> bool:
    size = len(given["secret"])
    here = ctypes.create_string_buffer(size)
    local, remote = Vector(ctypes.addressof(here), size), Vector(given["address"], size)
    call(libc.process_vm_readv, given["parent"], ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    return bool(here.raw == given["secret"].encode())


def trace_parent(given: Given) -> bool:
    seize = 0x4206
    call(libc.ptrace, seize, given["parent"], None, None)
    return True


def descriptor_of_parent(given: Given) -> bool:
    return given["secret"] in Path(f"/proc/{given['parent']}/fd/{given['descriptor']}").read_text()


def inherited_descriptor(given: Given) -> bool:
    return given["secret"].encode() in os.pread(given["descriptor"], 100, 0)


def connect_tcp(given: Given) -> bool:
    with socket.create_connection(("127.0.0.1", given["tcp"]), 5):
        return True


def send_udp(given: Given) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"x", ("127.0.0.1", given["udp"])) == 1


def connect_unix(given: Given) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(given["unix"])
        return True


def connect_abstract(given: Given) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + given["abstract"])
        return True


def netlink(given: Given) -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW):
        return True


def socket_pair(given: Given) -> bool:
    one, other = socket.socketpair()
    one.close()
    other.close()
    return True


def read_file(given: Given) -> bool:
    return given["secret"] in Path(given["file"]).read_text()


def read_password_file(given: Given) -> bool:
    return "root" in Path("/etc/passwd").read_text()


def list_folder(given: Given) -> bool:
    return bool(os.listdir(given["folder"]))


def write_file(given: Given) -> bool:
    Path(given["folder"], "new").write_text("x")
    return True


def change_file(given: Given) -> bool:
    with Path(given["file"]).open("r+") as file:
        return file.write("x") == 1


def truncate_file(given: Given) -> bool:
    os.truncate(given["spare"], 0)
    return True


def change_mode(given: Given) -> bool:
    Path(given["spare"]).chmod(0o666)
    return True


def change_times(given: Given) -> bool:
    os.utime(given["spare"])
    return True


def change_input(given: Given) -> bool:
    with Path(given["input"]).open("r+") as file:
        return file.write("x") == 1


def remove_file(given: Given) -> bool:
    Path(given["removable"]).unlink()
    return True


def link_symbolic(given: Given) -> bool:
    Path(tempfile.mkdtemp(), "link").symlink_to(given["file"])
    return True


def link_hard(given: Given) -> bool:
    os.link(given["file"], Path(given["file"]).with_name("hard"))
    return True


def make_fifo(given: Given) -> bool:
    os.mkfifo(Path(tempfile.mkdtemp(), "fifo"))
    return True


def shared_folder(given: Given) -> bool:
    path = Path("/dev/shm", given["abstract"])
    path.write_text("x")
    path.unlink()
    return True


def signal_other(given: Given) -> bool:
    os.kill(given["other"], signal.SIGCONT)
    return True


def signal_thread_of_other(given: Given) -> bool:
    call(libc.tgkill, given["other"], given["other"], signal.SIGCONT)
    return True


def signal_all_of_session(given: Given) -> bool:
    os.kill(0, 0)
    return True


def signal_by_descriptor(given: Given) -> bool:
    """A pipe that sends a signal of its owner's choice when it can be read."""
    set_signal = 10
    reading, writing = os.pipe()
    fcntl.fcntl(reading, set_signal, signal.SIGCONT)
    fcntl.fcntl(reading, fcntl.F_SETOWN, given["other"])
    fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writing, b"x")
    return True


def descriptor_of_other(given: Given) -> bool:
    os.close(os.pidfd_open(given["other"]))
    return True


def slow_other(given: Given) -> bool:
    os.setpriority(os.PRIO_PROCESS, given["other"], 10)
    return True


def limit_other(given: Given) -> bool:
    resource.prlimit(
        given["other"], resource.RLIMIT_CORE, (0, resource.prlimit(given["other"], resource.RLIMIT_CORE)[1])
    )
    return True


def bind_other_to_processor(given: Given) -> bool:
    os.sched_setaffinity(given["other"], os.sched_getaffinity(given["other"]))
    return True


def fork(given: Given) -> bool:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def start_program(given: Given) -> bool:
    return subprocess.run([sys.executable, "-I", "-c", ""], check=False).returncode == 0


def replace_program(given: Given) -> bool:
    """In the confined process alone: it would end the other."""
    os.execv("/bin/true", ["true"])
    return True


def leave_session(given: Given) -> bool:
    os.setpgid(0, 0)
    return True


def new_namespace(given: Given) -> bool:
    call(libc.unshare, 0x10000000)
    return True


def memory_file(given: Given) -> bool:
    os.close(os.memfd_create("x"))
    return True


def memory_shared(given: Given) -> bool:
    mmap.mmap(-1, 4096).close()
    return True


def memory_that_grows_down(given: Given) -> bool:
    """Not private memory to the kernel, but stack, and not bounded by the limit of that."""
    grows_down = 0x100
    mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | grows_down).close()
    return True


def memory_of_system_v(given: Given) -> bool:
    segment = call(libc.shmget, 0, 4096, 0o1600)
    call(libc.shmctl, segment, 0, None)
    return True


def outlive_parent(given: Given) -> bool:
    call(libc.prctl, 1, 0)
    return True


def watch_files(given: Given) -> bool:
    os.close(call(libc.inotify_init1, 0))
    return True


def become_traceable(given: Given) -> bool:
    call(libc.prctl, 4, 1)
    return True


def raise_limit(given: Given) -> bool:
    """Any of those that bound memory; where none is set there is nothing to raise."""
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_STACK):
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except ValueError:
            continue
        return True
    return False


def ring(given: Given) -> bool:
    io_uring_setup = 425
    parameters = ctypes.create_string_buffer(120)
    os.close(call(libc.syscall, ctypes.c_long(io_uring_setup), ctypes.c_long(1), parameters))
    return True


def attempt(given: Given, ctx: ConfinedContext | None = None) -> dict[str, object]:
    """Try the probe that `given` names."""
    try:
        return {"reached": bool(globals()[given["probe"]](given)), "error": None}
    except OSError as error:
        return {"reached": False, "error": str(error)}


def threads(given: Given, ctx: ConfinedContext) -> dict[str, object]:
    """Start threads until no more can be."""
    hold = threading.Event()
    count = 0
    try:
        while count < 10_000:
            threading.Thread(target=hold.wait, daemon=True).start()
            count += 1
    except (RuntimeError, MemoryError):
        pass
    return {"count": count}

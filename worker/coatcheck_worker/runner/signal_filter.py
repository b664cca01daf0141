"""Keep a runner, and what its handlers start, from signalling or tracing the processes around it. Linux."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator, Sequence

from coatcheck.confined import bpf, landlock
from coatcheck.confined.syscalls import CHECKED, REFUSED
from coatcheck.linux import Kernel

SIGNALLING = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open")
"""The system calls whose first argument is a process to signal."""

TRACING = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_send_signal")
"""Those that are refused whatever their arguments. Python signals by none of them."""


def protect_processes(processes: Sequence[int]) -> None:
    """Refuse from now on, with EPERM, to signal or trace these processes and their groups, or all processes at once.

    Where the kernel can (6.12), no process at all that this one has not started. Needs no_new_privs. What the kernel
    lacks is left out.
    """
    if sys.platform != "linux" or platform.machine() not in bpf.ARCHITECTURES:
        return
    kernel = Kernel()
    architecture, column = bpf.ARCHITECTURES[platform.machine()]
    groups = [-os.getpgid(process) for process in processes if process > 1]
    with contextlib.suppress(OSError):
        bpf.install(kernel, program(architecture, column, [*processes, *groups, -1]))
    with contextlib.suppress(OSError):
        landlock.refuse_signals(kernel)


def program(architecture: int, column: int, protected: Sequence[int]) -> Iterator[bpf.Instruction]:
    """The filter's instructions. `protected` are processes and, negative, groups of them."""
    yield from bpf.begin(architecture, column)
    numbers = {**REFUSED, **CHECKED}
    for name in TRACING:
        yield from bpf.rule(numbers[name][column], [bpf.do(bpf.RETURN, bpf.REFUSE)])
    for name in SIGNALLING:
        values = [process & 0xFFFFFFFF for process in dict.fromkeys(protected)]
        yield from bpf.rule(numbers[name][column], bpf.all_but(0, *values))
    yield bpf.do(bpf.RETURN, bpf.ALLOW)

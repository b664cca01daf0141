"""Keep a runner, and what its handlers start, from signalling or tracing the processes around it. Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000
"""Marks the calls of another interface of the same kernel: x86-64's with short pointers."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
"""Places in struct seccomp_data. https://man7.org/linux/man-pages/man2/seccomp.2.html"""

_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_SCOPE_SIGNAL = 2
"""Linux 6.12 and newer. https://docs.kernel.org/userspace-api/landlock.html#ipc-scoping"""


@dataclass(frozen=True, slots=True)
class _Machine:
    """The numbers of system calls on one kind of machine: those that name a process first, and those refused."""

    architecture: int
    signalling: Sequence[int]
    refused: Sequence[int]


MACHINES: Mapping[str, _Machine] = {
    # kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_open; ptrace, process_vm_*, pidfd_send_signal
    "x86_64": _Machine(0xC000003E, (62, 200, 234, 129, 297, 434), (101, 310, 311, 424)),
    "aarch64": _Machine(0xC00000B7, (129, 130, 131, 138, 240, 434), (117, 270, 271, 424)),
}


def protect_processes(processes: Sequence[int]) -> None:
    """Refuse from now on, with EPERM, to signal or trace these processes and their groups, or all processes at once.

    Where the kernel can (6.12), no process at all that this one has not started. Call it without privileges that could
    be gained again: `no_new_privs` must be set.
    """
    machine = MACHINES.get(os.uname().machine) if sys.platform == "linux" else None
    if machine is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    groups = [-os.getpgid(process) for process in processes if process > 1]
    _install(libc, _program(machine, [*processes, *groups, -1]))
    _scope_signals(libc)


def _program(machine: _Machine, processes: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Instructions as (code, skipped if true, skipped if false, operand)."""
    refused = [(_AT_LEAST, _X32), *((_EQUAL, number) for number in machine.refused)]
    protected = [process & 0xFFFFFFFF for process in dict.fromkeys(processes)]
    arguments_at = 3 + len(refused) + len(machine.signalling) + 1
    refuse_at = arguments_at + 1 + len(protected) + 1
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, refuse_at - 2, machine.architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    program += [(code, refuse_at - at - 1, 0, operand) for at, (code, operand) in enumerate(refused, 3)]
    first = len(program)
    program += [(_EQUAL, arguments_at - at - 1, 0, number) for at, number in enumerate(machine.signalling, first)]
    program += [(_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    first = len(program)
    program += [(_EQUAL, refuse_at - at - 1, 0, process) for at, process in enumerate(protected, first)]
    return [*program, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]


def _install(libc: ctypes.CDLL, program: Sequence[tuple[int, int, int, int]]) -> None:
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    described = struct.pack("@HxxxxxxP", len(program), ctypes.addressof(packed))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.create_string_buffer(described), 0, 0)


def _scope_signals(libc: ctypes.CDLL) -> None:
    attributes = struct.pack("=QQQ", 0, 0, _SCOPE_SIGNAL)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.create_string_buffer(attributes), len(attributes), 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)

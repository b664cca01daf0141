"""A seccomp filter: which system calls this process can make. https://docs.kernel.org/userspace-api/seccomp_filter.html

It refuses what is listed rather than allows what is listed: libraries differ in what they call, and a call that is
missing on a list would break them in the field. A call that is newer than the list does not exist here.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

from coatcheck.confined import bpf
from coatcheck.confined.bpf import (
    ALLOW,
    AND,
    ARCHITECTURES,
    ARGUMENTS,
    IF_BIT,
    IF_EQUAL,
    IF_GREATER,
    LOAD,
    REFUSE,
    RETURN,
    UNKNOWN,
    Instruction,
    all_but,
    begin,
    do,
    jump,
    only,
    rule,
)
from coatcheck.confined.syscalls import CHECKED, NEWEST_KNOWN, REFUSED
from coatcheck.linux import Kernel

CLONE_THREAD = 0x10000
MAP_SHARED_ANONYMOUS = 0x21
MAP_GROWSDOWN = 0x100
# F_SETOWN, F_SETSIG, F_SETOWN_EX: a descriptor that sends a signal to whom it is told
FCNTL_REFUSED = (8, 10, 15)
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and of memory
PRCTL_ALLOWED = (15, 16, 0x53564D41)


def available() -> bool:
    """Return whether there is a filter for this machine's architecture."""
    return platform.machine() in ARCHITECTURES


def install(kernel: Kernel, pid: int) -> None:
    """Filter the system calls of this thread, whose process is `pid`, and of those that it starts, for ever.

    Needs no_new_privs. Raises OSError where the kernel refuses.
    """
    architecture, column = ARCHITECTURES[platform.machine()]
    bpf.install(kernel, program(architecture, column, pid))


def program(architecture: int, column: int, pid: int) -> Iterator[Instruction]:
    """The filter's instructions."""
    yield from begin(architecture, column)
    yield from (jump(IF_GREATER, NEWEST_KNOWN, 0, 1), do(RETURN, UNKNOWN))
    for numbers in REFUSED.values():
        yield from rule(numbers[column], [do(RETURN, REFUSE)])
    for name, check in _checks(pid).items():
        yield from rule(CHECKED[name][column], check)
    yield do(RETURN, ALLOW)


def _checks(pid: int) -> dict[str, list[Instruction]]:
    """What decides about the calls that are refused for some arguments. Each list ends with a decision."""
    return {
        # threads, but no processes; the flags of clone3 are behind a pointer, and without it the library uses clone
        "clone": [do(LOAD, ARGUMENTS[0]), jump(IF_BIT, CLONE_THREAD, 0, 1), do(RETURN, ALLOW), do(RETURN, REFUSE)],
        "clone3": [do(RETURN, UNKNOWN)],
        # itself: abort() must end it as it does elsewhere
        "kill": only(0, pid),
        "tkill": only(0, pid),
        "tgkill": only(0, pid),
        "prlimit64": only(0, 0, pid),
        # neither counts as private memory
        "mmap": [
            do(LOAD, ARGUMENTS[3]),
            jump(IF_BIT, MAP_GROWSDOWN, 0, 1),
            do(RETURN, REFUSE),
            do(AND, MAP_SHARED_ANONYMOUS),
            jump(IF_EQUAL, MAP_SHARED_ANONYMOUS, 0, 1),
            do(RETURN, REFUSE),
            do(RETURN, ALLOW),
        ],
        "fcntl": all_but(1, *FCNTL_REFUSED),
        "prctl": only(0, *PRCTL_ALLOWED),
    }

"""A seccomp filter: which system calls this process can make. https://docs.kernel.org/userspace-api/seccomp_filter.html

It refuses what is listed rather than allows what is listed: libraries differ in what they call, and a call that is
missing on a list would break them in the field. A call that is newer than the list does not exist here.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterator

from coatcheck.confined.kernel import PR_SET_SECCOMP, Kernel
from coatcheck.confined.syscalls import CHECKED, NEWEST_KNOWN, REFUSED

# by machine: linux/audit.h, and the column of its numbers
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# linux/filter.h: load a word of the call, mask it, jump if it is equal or greater or has a bit, return
LOAD, AND, IF_EQUAL, IF_GREATER, IF_BIT, RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
# linux/seccomp.h
MODE_FILTER = 2
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
REFUSE, UNKNOWN = ERROR | errno.EPERM, ERROR | errno.ENOSYS
# struct seccomp_data, little-endian: the number, the architecture, and the lower half of each argument
NUMBER, ARCHITECTURE = 0, 4
ARGUMENTS = tuple(range(16, 64, 8))
X32_BIT = 0x40000000
CLONE_THREAD = 0x10000
MAP_SHARED_ANONYMOUS = 0x21
MAP_GROWSDOWN = 0x100
# F_SETOWN, F_SETSIG, F_SETOWN_EX: a descriptor that sends a signal to whom it is told
FCNTL_REFUSED = (8, 10, 15)
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and of memory
PRCTL_ALLOWED = (15, 16, 0x53564D41)

Instruction = bytes


def available() -> bool:
    """Return whether there is a filter for this machine's architecture."""
    return platform.machine() in ARCHITECTURES


def install(kernel: Kernel, pid: int) -> None:
    """Filter the system calls of this thread, whose process is `pid`, and of those that it starts, for ever.

    Needs no_new_privs. Raises OSError where the kernel refuses.
    """
    architecture, column = ARCHITECTURES[platform.machine()]
    code = b"".join(program(architecture, column, pid))
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    holder = ctypes.create_string_buffer(header, len(header))
    kernel.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.cast(holder, ctypes.c_void_p))


def program(architecture: int, column: int, pid: int) -> Iterator[Instruction]:
    """The filter's instructions."""
    yield from (_do(LOAD, ARCHITECTURE), _jump(IF_EQUAL, architecture, 1, 0), _do(RETURN, KILL))
    yield _do(LOAD, NUMBER)
    if column == 0:
        # the second set of numbers for the same calls
        yield from (_jump(IF_BIT, X32_BIT, 0, 1), _do(RETURN, KILL))
    yield from (_jump(IF_GREATER, NEWEST_KNOWN, 0, 1), _do(RETURN, UNKNOWN))
    for numbers in REFUSED.values():
        yield from _rule(numbers[column], [_do(RETURN, REFUSE)])
    for name, check in _checks(pid).items():
        yield from _rule(CHECKED[name][column], check)
    yield _do(RETURN, ALLOW)


def _rule(number: int | None, check: list[Instruction]) -> Iterator[Instruction]:
    if number is not None:
        yield _jump(IF_EQUAL, number, 0, len(check))
        yield from check


def _checks(pid: int) -> dict[str, list[Instruction]]:
    """What decides about the calls that are refused for some arguments. Each list ends with a decision."""
    return {
        # threads, but no processes; the flags of clone3 are behind a pointer, and without it the library uses clone
        "clone": [_do(LOAD, ARGUMENTS[0]), _jump(IF_BIT, CLONE_THREAD, 0, 1), _do(RETURN, ALLOW), _do(RETURN, REFUSE)],
        "clone3": [_do(RETURN, UNKNOWN)],
        # itself: abort() must end it as it does elsewhere
        "kill": _only(0, pid),
        "tkill": _only(0, pid),
        "tgkill": _only(0, pid),
        "prlimit64": _only(0, 0, pid),
        # neither counts as private memory
        "mmap": [
            _do(LOAD, ARGUMENTS[3]),
            _jump(IF_BIT, MAP_GROWSDOWN, 0, 1),
            _do(RETURN, REFUSE),
            _do(AND, MAP_SHARED_ANONYMOUS),
            _jump(IF_EQUAL, MAP_SHARED_ANONYMOUS, 0, 1),
            _do(RETURN, REFUSE),
            _do(RETURN, ALLOW),
        ],
        "fcntl": _all_but(1, *FCNTL_REFUSED),
        "prctl": _only(0, *PRCTL_ALLOWED),
    }


def _only(argument: int, *values: int) -> list[Instruction]:
    return _decide(argument, values, listed=ALLOW, others=REFUSE)


def _all_but(argument: int, *values: int) -> list[Instruction]:
    return _decide(argument, values, listed=REFUSE, others=ALLOW)


def _decide(argument: int, values: tuple[int, ...], *, listed: int, others: int) -> list[Instruction]:
    tests = [step for value in values for step in (_jump(IF_EQUAL, value, 0, 1), _do(RETURN, listed))]
    return [_do(LOAD, ARGUMENTS[argument]), *tests, _do(RETURN, others)]


def _do(code: int, value: int) -> Instruction:
    return struct.pack("=HBBI", code, 0, 0, value)


def _jump(code: int, value: int, if_true: int, if_false: int) -> Instruction:
    """A jump over so many instructions."""
    return struct.pack("=HBBI", code, if_true, if_false, value)

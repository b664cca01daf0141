"""The programs by which Linux filters system calls: their instructions, and how one is installed.

https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable, Iterator

from coatcheck.linux import PR_SET_SECCOMP, Kernel

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

Instruction = bytes


def install(kernel: Kernel, program: Iterable[Instruction]) -> None:
    """Filter the system calls of this thread and of those that it starts, for ever.

    Needs no_new_privs. Raises OSError where the kernel refuses.
    """
    code = b"".join(program)
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    holder = ctypes.create_string_buffer(header, len(header))
    kernel.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.cast(holder, ctypes.c_void_p))


def begin(architecture: int, column: int) -> Iterator[Instruction]:
    """Load the number of the call. End a process that uses another set of numbers for the same calls."""
    yield from (do(LOAD, ARCHITECTURE), jump(IF_EQUAL, architecture, 1, 0), do(RETURN, KILL))
    yield do(LOAD, NUMBER)
    if column == 0:
        yield from (jump(IF_BIT, X32_BIT, 0, 1), do(RETURN, KILL))


def rule(number: int | None, check: list[Instruction]) -> Iterator[Instruction]:
    """Let `check` decide about the call of this number; None: this machine has no such call."""
    if number is not None:
        yield jump(IF_EQUAL, number, 0, len(check))
        yield from check


def only(argument: int, *values: int) -> list[Instruction]:
    """Allow a call whose argument is one of these, and refuse others."""
    return _decide(argument, values, listed=ALLOW, others=REFUSE)


def all_but(argument: int, *values: int) -> list[Instruction]:
    """Refuse a call whose argument is one of these, and allow others."""
    return _decide(argument, values, listed=REFUSE, others=ALLOW)


def do(code: int, value: int) -> Instruction:
    """An instruction that does not jump."""
    return struct.pack("=HBBI", code, 0, 0, value)


def jump(code: int, value: int, if_true: int, if_false: int) -> Instruction:
    """A jump over so many instructions."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _decide(argument: int, values: tuple[int, ...], *, listed: int, others: int) -> list[Instruction]:
    tests = [step for value in values for step in (jump(IF_EQUAL, value, 0, 1), do(RETURN, listed))]
    return [do(LOAD, ARGUMENTS[argument]), *tests, do(RETURN, others)]

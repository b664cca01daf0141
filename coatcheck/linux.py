"""The calls to the kernel that Python has no function for. Linux alone."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
# linux/capability.h
CAPABILITY_VERSION_3 = 0x20080522
CAPSET_NUMBERS = {"x86_64": 126, "aarch64": 91}


class Kernel:
    """Calls of the C library. Each raises OSError where the kernel refuses."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def prctl(self, option: int, value: int = 0, pointer: ctypes.c_void_p | None = None) -> int:
        """prctl(2)."""
        zero = ctypes.c_ulong(0)
        result = self._libc.prctl(option, ctypes.c_ulong(value), pointer or zero, zero, zero)
        return self._checked(result, f"prctl {option}")

    def syscall(self, number: int, *arguments: int | ctypes.c_void_p | None) -> int:
        """syscall(2). Integers are passed as longs."""
        passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
        return self._checked(self._libc.syscall(ctypes.c_long(number), *passed), f"system call {number}")

    def drop_capabilities(self) -> None:
        """Give up every capability, for good where no new privileges can be gained."""
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        none = (ctypes.c_uint32 * 6)()
        number = CAPSET_NUMBERS.get(platform.machine())
        if number is None:
            raise OSError(f"capabilities of {platform.machine()} are not known")
        self.syscall(number, ctypes.cast(header, ctypes.c_void_p), ctypes.cast(none, ctypes.c_void_p))

    def _checked(self, result: int, what: str) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{what}: {os.strerror(code)}")
        return result


class HiddenProcess:
    """Hides this process's memory, environment and descriptors from processes of the same user, while it is needed.

    /proc/PID/mem, environ and fd of a process that may not be dumped are root's alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needed = 0
        self._before = 1

    @contextmanager
    def __call__(self, kernel: Kernel) -> Iterator[None]:
        """Hide this process until the block ends, and each other thread's block."""
        with self._lock:
            if not self._needed:
                self._before = kernel.prctl(PR_GET_DUMPABLE)
                kernel.prctl(PR_SET_DUMPABLE, 0)
            self._needed += 1
        try:
            yield
        finally:
            with self._lock:
                self._needed -= 1
                if not self._needed:
                    # 2 can be read but not set: proc(5), /proc/sys/fs/suid_dumpable
                    kernel.prctl(PR_SET_DUMPABLE, int(self._before == 1))

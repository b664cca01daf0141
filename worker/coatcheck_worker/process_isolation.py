"""Keep a process apart from others of its user, where the system can: Linux."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_MAX_CAPABILITY = 63
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}


def hide_memory() -> None:
    """Let no other process of this user read this one's memory and environment.

    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Be killed when the parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def give_up_privileges() -> None:
    """Give up every capability, for good: a root without them reads no other process's memory.

    https://man7.org/linux/man-pages/man2/capset.2.html
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(_MAX_CAPABILITY + 1):
        _prctl(_PR_CAPBSET_DROP, capability)
    number = _SYS_CAPSET.get(os.uname().machine) if sys.platform == "linux" else None
    if number is not None:
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        none = (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).syscall(number, ctypes.byref(header), ctypes.byref(none))


def _prctl(option: int, value: int) -> None:
    # where the kernel lacks one of these, the others still help
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)

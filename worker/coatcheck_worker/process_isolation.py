"""Keep a process apart from others of its user, where the system can: Linux."""

from __future__ import annotations

import contextlib
import sys

from coatcheck.linux import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, Kernel

# linux/prctl.h
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
LAST_CAPABILITY = 63
SIGKILL = 9


def hide_memory() -> None:
    """Let no other process of this user read this one's memory and environment.

    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    _prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Be killed when the parent ends."""
    _prctl(PR_SET_PDEATHSIG, SIGKILL)


def give_up_privileges() -> None:
    """Give up every capability, for good: a root without them reads no other process's memory.

    https://man7.org/linux/man-pages/man2/capset.2.html
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(LAST_CAPABILITY + 1):
        _prctl(PR_CAPBSET_DROP, capability)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Kernel().drop_capabilities()


def _prctl(option: int, value: int) -> None:
    # where the kernel lacks one of these, the others still help
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Kernel().prctl(option, value)

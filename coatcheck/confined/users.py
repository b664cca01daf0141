"""Another user for a confined process of root's: where no Landlock guards files, their owners and modes do."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

# a user for each process, so that they cannot reach one another: those that systemd gives to services, and nobody has
FIRST_USER, USERS = 61_184, 4_336
# linux/capability.h: CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID: without them the parent could neither end the
# process nor remove its files
NEEDED_CAPABILITIES = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7
MAX_THREADS = 256


def become_another(module: str, files: Sequence[str], owned: Sequence[str]) -> bool:
    """Become another user for good, who owns the folders `owned`. Return False, and change nothing, where that fails.

    It fails for all but root, and where the other user could not import `module`, read `files` or reach `owned`.
    """
    if os.geteuid() != 0 or not _has_capabilities():
        return False
    user = FIRST_USER + os.getpid() % USERS
    groups, group = os.getgroups(), os.getegid()
    # as root sees them: what is not there for root either is not missed
    listed = [*filter(os.path.isdir, sys.path), *owned]
    opened = [*files, *_modules(module)]
    try:
        _give(owned, user)
        os.setgroups([])
        os.setegid(user)
        os.seteuid(user)
        _try_on(listed, opened)
    except OSError:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
        _give(owned, 0)
        return False
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    resource.setrlimit(resource.RLIMIT_NPROC, (MAX_THREADS, MAX_THREADS))
    return True


def _has_capabilities() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return int(effective, 16) & NEEDED_CAPABILITIES == NEEDED_CAPABILITIES


def _give(folders: Sequence[str], user: int) -> None:
    for folder in folders:
        os.chown(folder, user, user)


def _modules(module: str) -> list[str]:
    """A file of the standard library, and that of the package in which the module is, if it has one."""
    found = PathFinder.find_spec(module.partition(".")[0])
    own = [found.origin] if found is not None and found.has_location and found.origin else []
    return [os.__file__, *own]


def _try_on(listed: Sequence[str], opened: Sequence[str]) -> None:
    """Raise OSError where this user cannot do what the process is to do."""
    for folder in listed:
        os.scandir(folder).close()
    for name in opened:
        os.close(os.open(name, os.O_RDONLY))

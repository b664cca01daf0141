"""Landlock: which files this process can open, whoever its user is. https://docs.kernel.org/userspace-api/landlock.html"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from coatcheck.linux import Kernel

# the same numbers on every architecture
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
GET_VERSION = 1
# linux/landlock.h
WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, TRUNCATE = 1 << 7, 1 << 8, 1 << 14
OF_FILES = WRITE_FILE | READ_FILE | TRUNCATE
# how many rights to files each version knows: what it knows, it refuses by default
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
NEWEST_FILE_RIGHTS = 16
# no symbolic link, FIFO, socket or device, and no link to another folder's file: the parent opens what is left there
WRITABLE = WRITE_FILE | READ_FILE | READ_DIR | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | TRUNCATE
# TCP bind and connect; abstract sockets and signals of others
NETWORK, SCOPES = 0b11, 0b11
SIGNALS = 0b10


def version(kernel: Kernel) -> int:
    """Return the version that the kernel has; 0 where it has none, or it is switched off."""
    try:
        return kernel.syscall(CREATE_RULESET, None, 0, GET_VERSION)
    except OSError:
        return 0


def restrict(kernel: Kernel, abi: int, readable: Iterable[str], listed: Iterable[str], writable: Iterable[str]) -> None:
    """Refuse this process every file but those below `readable` and `writable`, and listing all but those and `listed`.

    Paths that are not there are left out. `abi` is what `version` returned, at least 1. Needs no_new_privs. Raises
    OSError where the kernel refuses.
    """
    handled = (1 << FILE_RIGHTS.get(abi, NEWEST_FILE_RIGHTS)) - 1
    attributes = struct.pack("=QQQ", handled, NETWORK if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    # an older kernel takes the longer form, as long as what it does not know is zero
    ruleset = kernel.syscall(CREATE_RULESET, _pointer(ctypes.create_string_buffer(attributes, 24)), 24, 0)
    try:
        for paths, rights in ((readable, READ_FILE | READ_DIR), (listed, READ_DIR), (writable, WRITABLE)):
            for path in paths:
                _allow(kernel, ruleset, path, rights & handled)
        kernel.syscall(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def refuse_signals(kernel: Kernel) -> None:
    """Refuse this process to signal any that it does not start. Needs version 6. Raises OSError."""
    attributes = struct.pack("=QQQ", 0, 0, SIGNALS)
    ruleset = kernel.syscall(CREATE_RULESET, _pointer(ctypes.create_string_buffer(attributes, 24)), 24, 0)
    try:
        kernel.syscall(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(kernel: Kernel, ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mode = os.fstat(opened).st_mode
        allowed = rights if stat.S_ISDIR(mode) else rights & OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, opened), 12)
        kernel.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, _pointer(rule), 0)
    finally:
        os.close(opened)


def _pointer(buffer: ctypes.Array[ctypes.c_char]) -> ctypes.c_void_p:
    return ctypes.cast(buffer, ctypes.c_void_p)

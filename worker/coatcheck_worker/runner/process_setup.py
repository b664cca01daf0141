"""Make a process a runner: apart from its parent, without rights it does not need, and ended with it."""

from __future__ import annotations

import os
import signal
import socket
import tempfile

from coatcheck_worker import memory
from coatcheck_worker.process_isolation import adopt_orphans, end_with_parent, give_up_privileges, hide_memory
from coatcheck_worker.runner.signal_filter import protect_processes

_IGNORED = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Python ignores these when it starts: a write that cannot be made is an OSError."""


def become_runner(channel: socket.socket, output: int, *, megabytes: int, scratch: str, supervisor: int) -> None:
    """Make this process, which was just forked or started, a runner.

    `channel` is the only descriptor that it keeps besides standard input, which is empty, and standard output and
    error, which are `output`. It may take so many megabytes of memory. `scratch` is its folder for temporary files.
    `supervisor` is a process that its handlers must not reach, beside its parent.
    """
    os.setsid()
    end_with_parent()
    adopt_orphans()
    _reset_signals()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close_all_but(channel.fileno())
    # a child of a handler must not keep the channel open
    os.register_at_fork(after_in_child=channel.close)
    os.environ["TMPDIR"] = scratch
    tempfile.tempdir = scratch
    give_up_privileges()
    # runners have one user: the job beside this one may be another tenant's
    hide_memory()
    protect_processes([os.getppid(), supervisor])
    memory.limit(megabytes)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _close_all_but(kept: int) -> None:
    """Close every descriptor above those of the standard streams, except `kept`."""
    # an empty range that begins at 0 would close all of them
    if kept > 3:
        os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))

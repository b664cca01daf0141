"""Handlers that harm the process they run in, and one that does not."""

from __future__ import annotations

import os
import re
import signal

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import RetryPolicy
from coatcheck.authoring.types import JobType, Run

PIECE = 16 * 1024 * 1024


class Empty(BaseModel):
    """What these handlers take and give."""


def _spin(_: Empty, __: Context) -> Empty:
    while True:
        pass


def _exit(_: Empty, __: Context) -> Empty:
    os._exit(3)


def _kill(_: Empty, __: Context) -> Empty:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


def _hang(_: Empty, __: Context) -> Empty:
    re.match(r"(a+)+$", "a" * 40 + "b")
    raise AssertionError("this takes longer than anybody waits")


def _eat(_: Empty, __: Context) -> Empty:
    eaten = []
    while True:
        eaten.append(bytearray(PIECE))


def _return(_: Empty, __: Context) -> Empty:
    return Empty()


def _job_type(name: str, run: Run[Empty, Empty]) -> JobType[Empty, Empty]:
    return JobType(name, Empty, Empty, max_attempts=2, retry=RetryPolicy(base=0, cap=0), handler=run)


SPINS = _job_type("hostile.spin", _spin)
EXITS = _job_type("hostile.exit", _exit)
KILLS = _job_type("hostile.kill", _kill)
HANGS = _job_type("hostile.hang", _hang)
EATS = _job_type("hostile.eat", _eat)
BESIDE = _job_type("harmless", _return)

"""Handlers that harm the process they run in, and one that does not."""

from __future__ import annotations

import os
import re
import signal

from pydantic import BaseModel

from coatcheck.context import Context
from coatcheck.retry import RetryPolicy
from coatcheck.types import Handler, JobType, Run

PIECE = 16 * 1024 * 1024


class Nothing(BaseModel):
    """What these handlers take and give."""


def _spin(_: Nothing, __: Context) -> Nothing:
    while True:
        pass


def _exit(_: Nothing, __: Context) -> Nothing:
    os._exit(3)


def _kill(_: Nothing, __: Context) -> Nothing:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


def _hang(_: Nothing, __: Context) -> Nothing:
    re.match(r"(a+)+$", "a" * 40 + "b")
    raise AssertionError("this takes longer than anybody waits")


def _eat(_: Nothing, __: Context) -> Nothing:
    eaten = []
    while True:
        eaten.append(bytearray(PIECE))


def _return(_: Nothing, __: Context) -> Nothing:
    return Nothing()


def _handler(name: str, run: Run[Nothing, Nothing]) -> Handler[Nothing, Nothing]:
    return Handler(JobType(name, Nothing, Nothing, max_attempts=2, retry=RetryPolicy(base=0, cap=0)), run)


SPINS = _handler("hostile.spin", _spin)
EXITS = _handler("hostile.exit", _exit)
KILLS = _handler("hostile.kill", _kill)
HANGS = _handler("hostile.hang", _hang)
EATS = _handler("hostile.eat", _eat)
BESIDE = _handler("harmless", _return)

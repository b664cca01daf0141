"""Code that reads hostile bytes, in a process that can reach nothing but what it is given.

A decoder of images, an engine of SQL, a parser of documents: whoever makes their input may one day make them run
something else. `run` calls a function in a process of its own: without credentials, network, other processes or other
files, under limits of memory, time and disk. `protections` tells what of it the kernel of this machine enforces.
"""

from __future__ import annotations

from coatcheck.confined.context import ConfinedContext
from coatcheck.confined.errors import BadAnswer, ConfinedError, Crashed, Failed, Killed, LimitReached, NotStarted
from coatcheck.confined.limits import Limits
from coatcheck.confined.protections import Protection
from coatcheck.confined.run import Answer, protections, run

__all__ = [
    "Answer",
    "BadAnswer",
    "ConfinedContext",
    "ConfinedError",
    "Crashed",
    "Failed",
    "Killed",
    "LimitReached",
    "Limits",
    "NotStarted",
    "Protection",
    "protections",
    "run",
]

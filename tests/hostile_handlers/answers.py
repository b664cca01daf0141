"""What hostile handlers are given and return, and how long they may run."""

from __future__ import annotations

from pydantic import BaseModel

TIMEOUT = 2
"""Seconds that an attempt of a handler that never ends may run."""


FOREVER = 3600


MB = 1024 * 1024


class Nothing(BaseModel):
    """What the handlers are given."""


class Answer(BaseModel):
    """What they return."""

    text: str = ""

"""What is there when the service starts stays there, and the garbage collector need not look at it again."""

from __future__ import annotations

import gc


def freeze_heap() -> None:
    """Leave every object of now out of all later collections.

    A full one goes through modules and AWS's models otherwise, more than 100 ms of CPU with the interpreter's lock
    held, and one client's large bodies bring it about at will. https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()

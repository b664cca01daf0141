"""Objects that exist when the service starts stay: the garbage collector need not scan them again."""

from __future__ import annotations

import gc


def freeze_heap() -> None:
    """Exclude every present object from all later collections.

    Otherwise a full collection scans modules and AWS's models. That takes more than 100 ms of CPU with the
    interpreter's lock held, and one client can trigger it at will with large bodies.
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()

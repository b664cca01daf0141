"""How much of a list one answer carries."""

from __future__ import annotations

from coatcheck.wire_base import Shown
from service.front_door import FrontDoor


class Room:
    """The room that a front door leaves for the entries of a page. One entry fits always: it is smaller by far."""

    def __init__(self, front_door: FrontDoor) -> None:
        self._left = front_door.inline_limit
        self._taken = 0

    def takes(self, entry: Shown) -> bool:
        """Whether one more entry goes into the answer."""
        self._left -= len(entry.model_dump_json()) + len(",")
        self._taken += 1
        return self._left >= 0 or self._taken == 1

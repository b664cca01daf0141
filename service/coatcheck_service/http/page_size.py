"""How much of a list one answer carries."""

from __future__ import annotations

from coatcheck.core.api.base_models import ResponseModel
from coatcheck_service.front_door import FrontDoor


class PageBudget:
    """The room that a front door leaves for the entries of a page. One entry fits always: it is smaller by far."""

    def __init__(self, front_door: FrontDoor) -> None:
        self._bytes_left = front_door.inline_limit
        self._count = 0

    def fits(self, entry: ResponseModel) -> bool:
        """Whether one more entry goes into the answer."""
        self._bytes_left -= len(entry.model_dump_json()) + len(",")
        self._count += 1
        return self._bytes_left >= 0 or self._count == 1

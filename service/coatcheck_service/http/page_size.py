"""Limits a page of a list to what one response can carry."""

from __future__ import annotations

from coatcheck.core.api.base_models import ResponseModel
from coatcheck_service.front_door import FrontDoor


class PageBudget:
    """The bytes that a front door allows for the entries of a page. One entry always fits: it is far smaller."""

    def __init__(self, front_door: FrontDoor) -> None:
        self._bytes_left = front_door.inline_limit
        self._count = 0

    def fits(self, entry: ResponseModel) -> bool:
        """Count one more entry, and return whether it fits into the response."""
        self._bytes_left -= len(entry.model_dump_json()) + len(",")
        self._count += 1
        return self._bytes_left >= 0 or self._count == 1

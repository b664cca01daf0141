"""Which part of the `due` index one sweep looks through. Several sweepers share the work by shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.table.keys import ShardKind


@dataclass(frozen=True, slots=True)
class Share:
    """The numbers of the shards of each kind. `of` is how many there are of a kind; `first` also sees to the rest."""

    numbers: Mapping[ShardKind, tuple[int, ...]]
    of: int
    first: bool = True

    @classmethod
    def whole(cls, shards: int) -> Self:
        """All there is."""
        return cls.part(0, 1, shards)

    @classmethod
    def part(cls, index: int, parts: int, shards: int) -> Self:
        """Part `index`, from 0, of so many equal ones."""
        numbers = tuple(range(index, shards, parts))
        return cls(dict.fromkeys(ShardKind, numbers), shards, first=index == 0)

    def of_kind(self, kind: ShardKind) -> tuple[int, ...]:
        """The numbers of the shards of one kind."""
        return self.numbers.get(kind, ())


HandOver: TypeAlias = Callable[[ShardKind, tuple[int, ...]], None]
"""Lets another sweeper look through the shards of a kind with these numbers. Raises AwsError."""


class ShareMessage(BaseModel):
    """A share as one sweeper hands it to another. The schedule's own event has none, and means the whole."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    shards: dict[ShardKind, tuple[Annotated[int, Field(ge=0, lt=256)], ...]] | None = None

    def share(self, shards: int) -> Share:
        """The share that is meant where there are so many shards of each kind."""
        return Share.whole(shards) if self.shards is None else Share(self.shards, shards, first=False)

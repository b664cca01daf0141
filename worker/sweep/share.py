"""Which part of the `due` index one sweep looks through. Several sweepers share the work by shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.clock import MINUTE
from coatcheck.deployment import Deployment
from coatcheck.table.keys import MOST_SHARDS, Item, ShardKind

Starts: TypeAlias = Mapping[int, Item | None]
"""Numbers of shards, and the entry of the index behind which each is to be read; None for its beginning."""


@dataclass(frozen=True, slots=True)
class Share:
    """The shards of each kind, of which there are `of`. The `first` share also has what is in no shard."""

    starts: Mapping[ShardKind, Starts]
    of: int
    first: bool = True

    @classmethod
    def whole(cls, shards: int) -> Self:
        """All there is."""
        return cls.part(0, 1, shards)

    @classmethod
    def part(cls, index: int, parts: int, shards: int) -> Self:
        """Part `index`, from 0, of so many equal ones."""
        starts = dict.fromkeys(range(index, shards, parts))
        return cls(dict.fromkeys(ShardKind, starts), shards, first=index == 0)

    def of_kind(self, kind: ShardKind) -> Starts:
        """The shards of one kind."""
        return self.starts.get(kind, {})


HandOver: TypeAlias = Callable[[ShardKind, Starts], None]
"""Lets another sweeper look through these shards of a kind as well. Raises AwsError."""

EVERY_SHARD_EACH = 10 * MINUTE


def shards_of(deployment: Deployment, since_all: int) -> int:
    """How many shards of each kind a sweep looks through, when the last look at all was so many milliseconds ago.

    There may be rows in shards that the setting does not name: it was lowered, or a deploy that raised it rolled back.
    """
    return MOST_SHARDS if since_all >= EVERY_SHARD_EACH else deployment.due_shards


_Number: TypeAlias = Annotated[int, Field(ge=0, lt=MOST_SHARDS)]


class ShareMessage(BaseModel):
    """A share as one sweeper hands it to another. The schedule's own event has none, and means the whole."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    shards: dict[ShardKind, dict[_Number, dict[str, dict[str, str]] | None]] | None = None

    def share(self, shards: int) -> Share:
        """The share that is meant where there are so many shards of each kind."""
        return Share.whole(shards) if self.shards is None else Share(self.shards, shards, first=False)

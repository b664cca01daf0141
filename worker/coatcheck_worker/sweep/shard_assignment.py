"""Which part of the `due` index one sweep reads. Several sweepers divide the work by shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self, TypeAlias

from pydantic import ConfigDict, Field

from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.clock import MINUTE
from coatcheck.core.deferred_model import DeferredModel
from coatcheck.core.settings import Settings
from coatcheck.core.shards import MAX_SHARDS, ShardKind

ShardCursors: TypeAlias = Mapping[int, Item | None]
"""Shard numbers, and the index entry after which to read each shard; None for its beginning."""


@dataclass(frozen=True, slots=True)
class ShardAssignment:
    """The shards of each kind, out of `shard_count`. The `first` assignment also has what is in no shard."""

    cursors: Mapping[ShardKind, ShardCursors]
    shard_count: int
    first: bool = True

    @classmethod
    def whole(cls, shards: int) -> Self:
        """All shards of all kinds."""
        return cls.part(0, 1, shards)

    @classmethod
    def part(cls, index: int, parts: int, shards: int) -> Self:
        """Part `index`, counted from 0, of `parts` equal parts."""
        cursors = dict.fromkeys(range(index, shards, parts))
        return cls(dict.fromkeys(ShardKind, cursors), shards, first=index == 0)

    def of_kind(self, kind: ShardKind) -> ShardCursors:
        """The shards of one kind."""
        return self.cursors.get(kind, {})


Delegate: TypeAlias = Callable[[ShardKind, ShardCursors], None]
"""Asks another sweeper to read these shards of a kind too. Raises AwsError."""

FULL_SWEEP_INTERVAL = 10 * MINUTE


def shards_of(settings: Settings, since_full_sweep: int) -> int:
    """How many shards of each kind a sweep reads, if all shards were last read `since_full_sweep` milliseconds ago.

    There may be rows in shards beyond the setting: it was lowered, or a deploy that raised it was rolled back.
    """
    return MAX_SHARDS if since_full_sweep >= FULL_SWEEP_INTERVAL else settings.due_shards


_Number: TypeAlias = Annotated[int, Field(ge=0, lt=MAX_SHARDS)]


class ShardAssignmentMessage(DeferredModel):
    """A shard assignment as one sweeper delegates it to another. The schedule's own event has none: it means all."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    shards: dict[ShardKind, dict[_Number, dict[str, dict[str, str]] | None]] | None = None

    def assignment(self, shards: int) -> ShardAssignment:
        """The assignment that is meant if there are `shards` shards of each kind."""
        return (
            ShardAssignment.whole(shards) if self.shards is None else ShardAssignment(self.shards, shards, first=False)
        )

"""Read due rows page by page: one page of each shard in turn, starting at another shard each time, so none starves."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from coatcheck.core.aws.call import AwsError, Call
from coatcheck.core.aws.dynamodb.due_index import DuePage
from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.shards import ShardKind
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep.shard_assignment import Delegate, ShardCursors

log = logging.getLogger(__name__)

PAGE_SIZE = 100
"""Entries in a page: as many rows as one BatchGetItem reads."""

MAX_ROWS_ALONE = 5000
"""Entries after which a sweeper that may delegate does so with the shards that have more."""

MAX_HELPERS = 7

Key = TypeVar("Key")


class Find(Protocol[Key]):
    """Makes the request for one page of a shard: `due_jobs` or `due_deliveries`."""

    def __call__(
        self, table: str, shard: str, *, now: int, limit: int, after: Item | None = None
    ) -> Call[DuePage[Key]]: ...


class DuePages(Generic[Key]):
    """Iterates over the pages of what is due now in the shards of one kind, until the time `until` at the latest.

    Rows that become due meanwhile are left to the next sweep, so the pages end. A shard that cannot be read is skipped,
    and `failed` is why. `left` counts the shards that may hold more, `newer` the rows that are left to a newer version.
    `delegated` are the shards that another sweeper was asked to read from here on. With `keep_reading` they are read
    here too, since it may come late or never.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        kind: ShardKind,
        cursors: ShardCursors,
        find: Find[Key],
        *,
        until: int,
        delegate: Delegate | None = None,
        keep_reading: bool = False,
    ) -> None:
        self._dependencies, self._kind, self._find, self._keep_reading = dependencies, kind, find, keep_reading
        self._now, self.until, self._delegate = dependencies.clock(), until, delegate
        self._open: deque[tuple[int, Item | None]] = deque(cursors.items())
        self._open.rotate(int(dependencies.roll() * len(cursors)))
        self.failed: AwsError | None = None
        self.delegated: set[str] = set()
        self.left = self.newer = 0

    def __iter__(self) -> Iterator[Sequence[Key]]:
        read = 0
        while self._open and self._dependencies.clock() < self.until:
            number, after = self._open.popleft()
            page = self._page(number, after)
            if page is None:
                continue
            read += len(page.keys)
            if page.next is not None:
                self._open.append((number, page.next))
            yield page.keys
            if self._delegate is not None and read >= MAX_ROWS_ALONE:
                self._delegate_shards(self._delegate)
        self.left += sum(self._kind.shard(number) not in self.delegated for number, _ in self._open)

    def skip(self, what: str, error: AwsError, count: int = 1) -> None:
        """Record that something due could not be read: the next sweep reads it."""
        log.warning("%s is left out of this sweep: %s", what, error)
        self.failed = error
        self.left += count

    def _page(self, number: int, after: Item | None) -> DuePage[Key] | None:
        shard = self._kind.shard(number)
        call = self._find(self._dependencies.settings.table, shard, now=self._now, limit=PAGE_SIZE, after=after)
        try:
            return self._dependencies.transport.send(call)
        except AwsError as error:
            self.skip(f"shard {shard}", error)
            return None

    def _delegate_shards(self, delegate: Delegate) -> None:
        """Keep the first of the open shards, and delegate the rest."""
        self._delegate = None
        rest = [(number, after) for number, after in self._open if after is not None][1:]
        helpers = min(MAX_HELPERS, len(rest))
        for helper in range(helpers):
            cursors = dict(rest[helper::helpers])
            try:
                delegate(self._kind, cursors)
            except AwsError as error:
                log.warning("shards %s cannot be handed to another sweeper: %s", list(cursors), error)
                continue
            self.delegated |= {self._kind.shard(number) for number in cursors}
            if not self._keep_reading:
                self._open = deque(entry for entry in self._open if entry[0] not in cursors)

"""What is due, page by page: of each shard one in turn, from another shard each time, so that none waits for others."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from coatcheck.calls import AwsError, Call
from coatcheck.table.due_index import DuePage
from coatcheck.table.keys import Item, ShardKind
from worker.sweep.share import HandOver, Starts
from worker.tools import Tools

log = logging.getLogger(__name__)

PAGE = 100
"""Entries of a page: as many rows as one BatchGetItem reads."""

ROWS_ALONE = 5000
"""Entries after which a sweeper that may do so hands over the shards of which there is more."""

MOST_HELPERS = 7

Key = TypeVar("Key")


class Find(Protocol[Key]):
    """Makes the request for one page of a shard: `due_jobs` or `due_deliveries`."""

    def __call__(
        self, table: str, shard: str, *, now: int, limit: int, after: Item | None = None
    ) -> Call[DuePage[Key]]: ...


class DuePages(Generic[Key]):
    """Iterates over the pages of what is due now in the shards of one kind, until the time `until` at the latest.

    What becomes due while it is read is left to the next sweep, so the pages end. A shard that cannot be read is
    left out, and `failed` is why. `left` counts the shards of which something may be left, `newer` the rows that are
    left to a newer version. `handed` are the shards that another sweeper was asked to look through from here on; with
    `reads_on` they are read all the same, since it may come late or never.
    """

    def __init__(
        self,
        tools: Tools,
        kind: ShardKind,
        starts: Starts,
        find: Find[Key],
        *,
        until: int,
        hand_over: HandOver | None = None,
        reads_on: bool = False,
    ) -> None:
        self._tools, self._kind, self._find, self._reads_on = tools, kind, find, reads_on
        self._now, self.until, self._hand_over = tools.clock(), until, hand_over
        self._open: deque[tuple[int, Item | None]] = deque(starts.items())
        self._open.rotate(int(tools.roll() * len(starts)))
        self.failed: AwsError | None = None
        self.handed: set[str] = set()
        self.left = self.newer = 0

    def __iter__(self) -> Iterator[Sequence[Key]]:
        read = 0
        while self._open and self._tools.clock() < self.until:
            number, after = self._open.popleft()
            page = self._page(number, after)
            if page is None:
                continue
            read += len(page.keys)
            if page.next is not None:
                self._open.append((number, page.next))
            yield page.keys
            if self._hand_over is not None and read >= ROWS_ALONE:
                self._share_out(self._hand_over)
        self.left += sum(self._kind.shard(number) not in self.handed for number, _ in self._open)

    def leave_out(self, what: str, error: AwsError, count: int = 1) -> None:
        """Note that something due could not be read: the next sweep does."""
        log.warning("%s is left out of this sweep: %s", what, error)
        self.failed = error
        self.left += count

    def _page(self, number: int, after: Item | None) -> DuePage[Key] | None:
        shard = self._kind.shard(number)
        call = self._find(self._tools.deployment.table, shard, now=self._now, limit=PAGE, after=after)
        try:
            return self._tools.aws.send(call)
        except AwsError as error:
            self.leave_out(f"shard {shard}", error)
            return None

    def _share_out(self, hand_over: HandOver) -> None:
        """Keep the first of the shards that are open, and let others look through the rest."""
        self._hand_over = None
        rest = [(number, after) for number, after in self._open if after is not None][1:]
        helpers = min(MOST_HELPERS, len(rest))
        for helper in range(helpers):
            starts = dict(rest[helper::helpers])
            try:
                hand_over(self._kind, starts)
            except AwsError as error:
                log.warning("shards %s cannot be handed to another sweeper: %s", list(starts), error)
                continue
            self.handed |= {self._kind.shard(number) for number in starts}
            if not self._reads_on:
                self._open = deque(entry for entry in self._open if entry[0] not in starts)

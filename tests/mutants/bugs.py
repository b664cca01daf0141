"""What a bug made on purpose is, and the ways to make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from coatcheck.lifecycle import Guard, Move, Status

Changes = Mapping[Move, Mapping[str, Any]]
"""The fields of moves that a bug in the lifecycle table changes."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug in the lifecycle table (`table`), in code (`puts`), or in both.

    `test` is the node id of a test that finds what no schedule can show.
    """

    name: str
    table: Changes | None = None
    puts: Callable[[], None] = lambda: None
    test: str | None = None

    def mutated(self, moves: Mapping[str, Move]) -> dict[str, Move]:
        """A copy of the table that has the bug."""
        changes = self.table or {}
        return {name: replace(move, **changes.get(move, {})) for name, move in moves.items()}

    def apply(self) -> None:
        """Put the bug into this process, for good."""
        for move, fields in (self.table or {}).items():
            for field, value in fields.items():
                object.__setattr__(move, field, value)
        self.puts()


def without(guard: Guard, *moves: Move) -> Changes:
    """The moves do not ask for `guard`."""
    return {m: {"sources": {status: guards - {guard} for status, guards in m.sources.items()}} for m in moves}


def also_from(move: Move, *statuses: Status) -> Changes:
    """The move is made from more statuses than it may be."""
    guards = next(iter(move.sources.values()))
    return {move: {"sources": {**dict.fromkeys(statuses, guards), **move.sources}}}


def never_from(move: Move, status: Status) -> Changes:
    """The move is not made from a status from which it must be."""
    return {move: {"sources": {source: guards for source, guards in move.sources.items() if source is not status}}}


def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """`owner.name` is what `make` makes of it."""
    return lambda: setattr(owner, name, make(getattr(owner, name)))


def given(**changes: Any) -> Callable[[Any], Any]:
    """A function whose arguments by name are others than it was called with."""
    return lambda function: lambda *args, **kwargs: function(*args, **kwargs | changes)


def given_job(**changes: Any) -> Callable[[Any], Any]:
    """A function that is given the job with other fields than it has."""
    return lambda function: (
        lambda first, job, *args, **kwargs: function(first, replace(job, **changes), *args, **kwargs)
    )


def answering(**changes: Any) -> Callable[[Any], Any]:
    """A function whose answer has other entries than it had."""
    return lambda function: lambda *args, **kwargs: function(*args, **kwargs) | changes


def nothing(answer: Any = None) -> Callable[[Any], Any]:
    """A function that does nothing."""
    return lambda _: lambda *_args, **_kwargs: answer

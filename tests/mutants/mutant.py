"""What a bug made on purpose is, and the ways to make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from coatcheck.core.lifecycle import Guard, Status, Transition

BUG = "SEEDED_BUG"
"""The environment variable that names the bug to processes that a test starts."""

Changes = Mapping[Transition, Mapping[str, Any]]
"""The fields of moves that a bug in the lifecycle table changes."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug in the lifecycle table (`table`), in code (`patch`), or in both.

    `test` is the node id of a test that finds what no schedule can show.
    """

    name: str
    table: Changes | None = None
    patch: Callable[[], None] = lambda: None
    test: str | None = None

    def mutated(self, transitions: Mapping[str, Transition]) -> dict[str, Transition]:
        """A copy of the table that has the bug."""
        changes = self.table or {}
        return {name: replace(transition, **changes.get(transition, {})) for name, transition in transitions.items()}

    def apply(self) -> None:
        """Put the bug into this process, for good."""
        for transition, fields in (self.table or {}).items():
            for field, value in fields.items():
                object.__setattr__(transition, field, value)
        self.patch()


def without(guard: Guard, *transitions: Transition) -> Changes:
    """The moves do not ask for `guard`."""
    return {m: {"sources": {status: guards - {guard} for status, guards in m.sources.items()}} for m in transitions}


def also_from(transition: Transition, *statuses: Status) -> Changes:
    """The move is made from more statuses than it may be."""
    guards = next(iter(transition.sources.values()))
    return {transition: {"sources": {**dict.fromkeys(statuses, guards), **transition.sources}}}


def never_from(transition: Transition, status: Status) -> Changes:
    """The move is not made from a status from which it must be."""
    return {
        transition: {
            "sources": {source: guards for source, guards in transition.sources.items() if source is not status}
        }
    }


def patched(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """`owner.name` is what `make` makes of it."""
    return lambda: setattr(owner, name, make(getattr(owner, name)))


def with_arguments(**changes: Any) -> Callable[[Any], Any]:
    """A function whose arguments by name are others than it was called with."""
    return lambda function: lambda *args, **kwargs: function(*args, **kwargs | changes)


def with_job_fields(**changes: Any) -> Callable[[Any], Any]:
    """A function that is given the job with other fields than it has."""
    return lambda function: (
        lambda first, job, *args, **kwargs: function(first, replace(job, **changes), *args, **kwargs)
    )


def with_answer(**changes: Any) -> Callable[[Any], Any]:
    """A function whose answer has other entries than it had."""
    return lambda function: lambda *args, **kwargs: function(*args, **kwargs) | changes


def returning(answer: Any = None) -> Callable[[Any], Any]:
    """A function that does nothing."""
    return lambda _: lambda *_args, **_kwargs: answer

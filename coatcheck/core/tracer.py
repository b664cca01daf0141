"""Spans of what the components do: by OpenTelemetry where somebody has set it up, and none elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from coatcheck.core.trace import TraceContext

Attributes: TypeAlias = Mapping[str, str | int]

NO_ATTRIBUTES: Attributes = MappingProxyType({})


class SpanKind(Enum):
    """What a span is to its parent, by OpenTelemetry's names."""

    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """Something that is being done."""

    @property
    def context(self) -> TraceContext | None:
        """What others continue; None without a trace."""

    def describe(self, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Say more of it: its name, if that was not known before, and attributes."""

    def fail(self, why: str) -> None:
        """Mark it as failed. `why` is a code, never text of a client or of a handler."""


class Tracer(Protocol):
    """Makes spans."""

    def span(
        self, name: str, kind: SpanKind, parent: TraceContext | None = None, attributes: Attributes = NO_ATTRIBUTES
    ) -> AbstractContextManager[Span]:
        """A span that lasts as long as the block, and fails with what the block raises.

        It continues `parent`; without one, the span that this code runs in.
        """

    def current(self) -> TraceContext | None:
        """The span that this code runs in; None if there is none."""

    def describe_current(self, name: str, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Name the span that this code runs in, and give it attributes."""

    def continued(self, parent: TraceContext) -> AbstractContextManager[None]:
        """Let spans that others make within the block continue `parent`."""


class _Untraced:
    """A span that nobody sees: others continue what it would have continued."""

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def describe(self, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Nobody sees it."""

    def fail(self, why: str) -> None:
        """Nobody sees it."""


class NoTracer:
    """Makes no spans; hands on the context that came in."""

    @contextmanager
    def span(
        self,
        name: str,  # noqa: ARG002 - nobody sees it
        kind: SpanKind,  # noqa: ARG002 - nobody sees it
        parent: TraceContext | None = None,
        attributes: Attributes = NO_ATTRIBUTES,  # noqa: ARG002 - nobody sees it
    ) -> Iterator[Span]:
        """As `Tracer.span`."""
        yield _Untraced(parent)

    def current(self) -> TraceContext | None:
        """There is none."""
        return None

    def describe_current(self, name: str, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """There is none."""

    @contextmanager
    def continued(self, parent: TraceContext) -> Iterator[None]:  # noqa: ARG002 - nobody asks for it
        """As `Tracer.continued`."""
        yield


NO_TRACER = NoTracer()


def described(**attributes: Any) -> Attributes:
    """Attributes of coatcheck: `job="job_1"` is `coatcheck.job`. Those that are None are left out."""
    return {f"coatcheck.{name}": value for name, value in attributes.items() if value is not None}

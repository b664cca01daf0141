"""Spans by OpenTelemetry's API. Without its SDK, or a layer that brings one, they cost little and go nowhere.

What is raised is recorded by its type alone: its text may hold what a tenant sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.context import Context

from coatcheck.core.trace import TraceContext
from coatcheck.core.tracer import NO_ATTRIBUTES, Attributes, Span, SpanKind

_KINDS = {kind: otel.SpanKind[kind.value] for kind in SpanKind}


class _OpenTelemetrySpan:
    def __init__(self, span: otel.Span) -> None:
        self._span = span

    @property
    def context(self) -> TraceContext | None:
        """What others continue."""
        return _context_of(self._span)

    def describe(self, name: str | None = None, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """As `Span.describe`."""
        if name is not None:
            self._span.update_name(name)
        self._span.set_attributes(dict(attributes))

    def fail(self, why: str) -> None:
        """As `Span.fail`."""
        self._span.set_status(otel.StatusCode.ERROR, why)


class OpenTelemetryTracer:
    """A `Tracer`."""

    def __init__(self) -> None:
        self._tracer = otel.get_tracer("coatcheck")

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, parent: TraceContext | None = None, attributes: Attributes = NO_ATTRIBUTES
    ) -> Iterator[Span]:
        """As `Tracer.span`."""
        started = self._tracer.start_as_current_span(
            name,
            context=None if parent is None else _remote(parent),
            kind=_KINDS[kind],
            attributes=dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        )
        with started as made:
            span = _OpenTelemetrySpan(made)
            try:
                yield span
            except BaseException as error:
                span.fail(type(error).__name__)
                raise

    def current(self) -> TraceContext | None:
        """As `Tracer.current`."""
        return _context_of(otel.get_current_span())

    def describe_current(self, name: str, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """As `Tracer.describe_current`."""
        _OpenTelemetrySpan(otel.get_current_span()).describe(name, attributes)

    @contextmanager
    def continued(self, parent: TraceContext) -> Iterator[None]:
        """As `Tracer.continued`."""
        token = otel_context.attach(_remote(parent))
        try:
            yield
        finally:
            otel_context.detach(token)


def _context_of(span: otel.Span) -> TraceContext | None:
    own = span.get_span_context()
    if not own.is_valid:
        return None
    return TraceContext(f"{own.trace_id:032x}", f"{own.span_id:016x}", own.trace_flags.sampled)


def _remote(parent: TraceContext) -> Context:
    flags = otel.TraceFlags(otel.TraceFlags.SAMPLED if parent.sampled else otel.TraceFlags.DEFAULT)
    context = otel.SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return otel.set_span_in_context(otel.NonRecordingSpan(context))

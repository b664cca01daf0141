"""Which tracer a process has."""

from __future__ import annotations

import functools
import logging
import sys

from coatcheck.core.tracer import NO_TRACER, Tracer

log: logging.Logger = logging.getLogger(__name__)

FLUSH_MS = 2000
"""Milliseconds that spans may take to be sent. A collector that is slower holds nobody up for longer."""


@functools.cache
def installed_tracer() -> Tracer:
    """OpenTelemetry's, if a tracer provider was set before this is called first; else none, which costs nothing.

    `opentelemetry-instrument` sets one before any code of ours runs. Where OpenTelemetry is not installed, or nobody
    has set a provider, its spans would go nowhere.
    """
    if not _has_provider():
        return NO_TRACER
    from coatcheck.core.opentelemetry_tracer import OpenTelemetryTracer  # noqa: PLC0415 - a client has no OpenTelemetry

    return OpenTelemetryTracer()


def flush_spans() -> None:
    """Let the provider send the spans that have ended: before Lambda freezes the process, or its supervisor ends it.

    Does nothing without a provider. Raises nothing: nobody's work fails for a span.
    """
    if not _has_provider():
        return
    provider = sys.modules["opentelemetry.trace"].get_tracer_provider()
    force_flush = getattr(provider, "force_flush", None)
    if force_flush is not None:
        try:
            force_flush(FLUSH_MS)
        except Exception:
            log.exception("spans are lost")


def _has_provider() -> bool:
    # whoever has set one has imported this; to import it only to look would take a start 20 ms
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return False
    return not isinstance(opentelemetry.get_tracer_provider(), opentelemetry.ProxyTracerProvider)

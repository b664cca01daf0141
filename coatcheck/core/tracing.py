"""Which tracer a process has."""

from __future__ import annotations

import functools
import sys

from coatcheck.core.tracer import NO_TRACER, Tracer


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


def _has_provider() -> bool:
    # whoever has set one has imported this; to import it only to look would take a start 20 ms
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return False
    return not isinstance(opentelemetry.get_tracer_provider(), opentelemetry.ProxyTracerProvider)

"""Transports whose requests to AWS are spans."""

from __future__ import annotations

from typing import Any, TypeVar

from coatcheck.aws_transport.protocols import OpenableTransport, Transport
from coatcheck.core.aws.call import Call, Presign, PresignedUrl
from coatcheck.core.tracer import NO_TRACER, Attributes, SpanKind, Tracer

T = TypeVar("T")


def traced(transport: Transport, tracer: Tracer) -> Transport:
    """The transport, with a span for each request that belongs to a trace, where there is a tracer."""
    return transport if tracer is NO_TRACER else TracedTransport(transport, tracer)


def traced_async(transport: OpenableTransport, tracer: Tracer) -> OpenableTransport:
    """As `traced`, for an event loop."""
    return transport if tracer is NO_TRACER else AsyncTracedTransport(transport, tracer)


class TracedTransport:
    """A `Transport` that makes a span of each request."""

    def __init__(self, transport: Transport, tracer: Tracer) -> None:
        self._transport, self._tracer = transport, tracer

    def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        if self._tracer.current() is None:
            return self._transport.send(call)
        with self._tracer.span(_name(call), SpanKind.CLIENT, attributes=_attributes(call)):
            return self._transport.send(call)


class AsyncTracedTransport:
    """An `OpenableTransport` that makes a span of each request."""

    def __init__(self, transport: OpenableTransport, tracer: Tracer) -> None:
        self._transport, self._tracer = transport, tracer

    async def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        if self._tracer.current() is None:
            return await self._transport.send(call)
        with self._tracer.span(_name(call), SpanKind.CLIENT, attributes=_attributes(call)):
            return await self._transport.send(call)

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Sign a URL; nothing is sent."""
        return await self._transport.presign(presign)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def open(self) -> None:
        """Make every client now."""
        await self._transport.open()


def _name(call: Call[Any]) -> str:
    return f"{call.service}.{call.operation}"


def _attributes(call: Call[Any]) -> Attributes:
    """Names: https://opentelemetry.io/docs/specs/semconv/cloud-providers/aws-sdk/"""
    return {"rpc.system": "aws-api", "rpc.service": call.service, "rpc.method": call.operation}

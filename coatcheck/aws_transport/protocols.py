"""What the service and the worker need from AWS. Tests wrap these to lose, refuse and repeat calls."""

from __future__ import annotations

from typing import Protocol, TypeVar

from coatcheck.core.aws.call import Call, Presign, PresignedUrl

T = TypeVar("T")


class Transport(Protocol):
    """Sends calls of every service. May be used from several threads."""

    def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""


class AsyncTransport(Protocol):
    """Sends calls of every service, and signs URLs. All from one event loop."""

    async def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Sign a URL; nothing is sent."""

    async def aclose(self) -> None:
        """Close every connection."""


class OpenableTransport(AsyncTransport, Protocol):
    """A transport that can be made ready before it is needed."""

    async def open(self) -> None:
        """Make every client now. This opens no connection."""

"""Webhooks for clients: endpoints, and what was delivered to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from coatcheck.client import operations
from coatcheck.client.operations import Request

T = TypeVar("T")

Document = Mapping[str, Any]


class Send(Protocol):
    """Sends a call and reads its answer."""

    def __call__(self, request: Request[T]) -> T: ...


class Webhooks:
    """The webhook endpoints of one tenant, and its deliveries. All methods raise what `Client` raises.

    Endpoints and deliveries are JSON objects as the server shows them. `send` sends a call, `paginate` reads a list.
    """

    def __init__(self, send: Send, paginate: Callable[[str, str, Mapping[str, str]], Iterator[Document]]) -> None:
        self._send = send
        self._paginate = paginate

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Document:
        """A new endpoint, with its `secret`: keep it, it is not shown again. It gets every event by default."""
        body = {"url": url, "events": events, "description": description, "enabled": enabled}
        return self._send(operations.create_endpoint(body))

    def endpoints(self) -> Iterator[Document]:
        """Your endpoints, the oldest first."""
        return self._paginate("endpoint", operations.ENDPOINTS, {})

    def endpoint(self, endpoint_id: str) -> Document:
        """One of them."""
        return self._send(operations.endpoint(endpoint_id))

    def update(self, endpoint_id: str, **changes: Any) -> Document:
        """Change `url`, `events`, `description` or `enabled`: True for an endpoint that was disabled."""
        return self._send(operations.update_endpoint(endpoint_id, changes))

    def delete(self, endpoint_id: str) -> None:
        """Remove an endpoint: nothing is sent there any more."""
        self._send(operations.delete_endpoint(endpoint_id))

    def rotate_secret(self, endpoint_id: str) -> Document:
        """The endpoint with a new `secret`; for 24 hours, webhooks are signed by the one before as well.

        `whe_jobs` stands for the URLs that jobs name: the first call shows its secret, later ones change it.
        """
        return self._send(operations.rotate_secret(endpoint_id))

    def test(self, endpoint_id: str) -> Document:
        """Send an endpoint the event `webhook.test`; the delivery."""
        return self._send(operations.send_test(endpoint_id))

    def deliveries(self, resource_id: str) -> Iterator[Document]:
        """The deliveries of a job, or of an endpoint's tests, each with every attempt."""
        return self._paginate("delivery", operations.deliveries_path(resource_id), {})

    def resend(self, resource_id: str, delivery_id: str) -> Document:
        """Send one of them again now, under its old `webhook-id`; the delivery."""
        return self._send(operations.resend(resource_id, delivery_id))

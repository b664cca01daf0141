"""The key that the secrets of webhook endpoints are derived from."""

from __future__ import annotations

from coatcheck.core.aws.secrets_manager import get_secret
from coatcheck.core.signature import derive_secret
from coatcheck.core.webhooks import WebhookEndpoint
from coatcheck_service.aioboto_transport import AsyncTransport


class WebhookKey:
    """Read from Secrets Manager when it is first needed, once."""

    def __init__(self) -> None:
        self._key: bytes | None = None

    async def read(self, transport: AsyncTransport, name: str) -> bytes:
        """The key in the secret `name`. Raises AwsError."""
        if self._key is None:
            self._key = await transport.send(get_secret(name))
        return self._key


def webhook_secret(endpoint: WebhookEndpoint, key: bytes) -> str:
    """The secret that an endpoint's webhooks are signed by, as its receiver has to know it."""
    return derive_secret(key, endpoint.tenant, endpoint.id, str(endpoint.generation))

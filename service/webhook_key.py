"""The key that the secrets of webhook endpoints are derived from."""

from __future__ import annotations

from coatcheck.secrets_manager import get_secret
from coatcheck.signature import derive_secret
from coatcheck.webhooks import Endpoint
from service.aws import Aws


class WebhookKey:
    """Read from Secrets Manager when it is first needed, once."""

    def __init__(self) -> None:
        self._key: bytes | None = None

    async def read(self, aws: Aws, name: str) -> bytes:
        """The key in the secret `name`. Raises AwsError."""
        if self._key is None:
            self._key = await aws.send(get_secret(name))
        return self._key


def secret_of(endpoint: Endpoint, key: bytes) -> str:
    """The secret that an endpoint's webhooks are signed by, as its receiver has to know it."""
    return derive_secret(key, endpoint.tenant, endpoint.id, str(endpoint.generation))

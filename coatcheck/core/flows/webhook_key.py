"""The deployment's key, from which the secrets of all webhook endpoints are derived."""

from __future__ import annotations

from dataclasses import dataclass, field

from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.aws.secrets_manager import get_secret
from coatcheck.core.signature import derive_secret
from coatcheck.core.webhooks import WebhookEndpoint


@dataclass(slots=True)
class WebhookKey:
    """The key, read from Secrets Manager on first use and kept. Two concurrent flows may both read it."""

    _key: bytes | None = field(default=None, repr=False)

    def read(self, secret_name: str) -> Flow[bytes]:
        """The key in the secret of that name. Raises AwsError."""
        if self._key is None:
            self._key = yield from send(get_secret(secret_name))
        return self._key


def endpoint_secret(key: bytes, endpoint: WebhookEndpoint, generation: int) -> str:
    """The endpoint's secret of that generation, in the form in which its receiver needs it."""
    return derive_secret(key, endpoint.tenant, endpoint.id, str(generation))

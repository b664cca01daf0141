"""The requests to one service of AWS, signed and as bytes."""

from __future__ import annotations

from typing import Any

from coatcheck.aws_transport.aws_json import headers_of
from coatcheck.aws_transport.credentials import AwsCredentials
from coatcheck.aws_transport.endpoints import Endpoint
from coatcheck.aws_transport.http1 import request_bytes
from coatcheck.aws_transport.sigv4 import CredentialScope, Signer
from coatcheck.core.aws.call import Call, Service

USER_AGENT = "coatcheck"


class RequestWriter:
    """Writes the requests to one service at one endpoint."""

    def __init__(self, service: Service, endpoint: Endpoint, region: str) -> None:
        self._endpoint = endpoint
        self._signer = Signer(CredentialScope(service, region))

    def write(self, call: Call[Any], body: bytes, credentials: AwsCredentials, now: float) -> bytes:
        """The request of `call`, of which `body` is the body, signed at `now` (seconds since the epoch)."""
        headers = {"host": self._endpoint.host, **headers_of(call)}
        signed = self._signer.sign(self._endpoint.path, headers, body, credentials, now)
        return request_bytes(self._endpoint.path, {**signed, "user-agent": USER_AGENT}, body)

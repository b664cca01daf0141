"""What a process finds around it: region, endpoints, credentials, certificates, proxies."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coatcheck.aws_transport.credentials import CredentialSource, FixedCredentials, SdkCredentials, credentials_of
from coatcheck.aws_transport.endpoints import Endpoint, endpoint_at, regional_url
from coatcheck.core.aws.call import Service

MakeSession = Callable[[], Any]
"""Makes a session of botocore, which takes as long as a hundred requests."""

_ASK_THE_SDK = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"),
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
"""Variables by which the endpoints depend on more than the region."""

_OWN_VARIABLE = {
    "dynamodb": "AWS_ENDPOINT_URL_DYNAMODB",
    "sqs": "AWS_ENDPOINT_URL_SQS",
    "secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER",
}
"""https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""


@dataclass(frozen=True)
class AwsEnvironment:
    """Answers from the environment where it says it all, and else asks botocore, which knows all the rules.

    `home` is the folder of `.aws/config`; `certificates` is a file of those to trust where none is configured.
    """

    environ: Mapping[str, str]
    make_session: MakeSession
    home: Path
    certificates: str

    def endpoint(self, service: Service) -> tuple[Endpoint, str]:
        """Where a service is reached, and the region to sign for. Raises what botocore raises: no region is named."""
        region = self.environ.get("AWS_DEFAULT_REGION")
        named = self.environ.get(_OWN_VARIABLE[service]) or self.environ.get("AWS_ENDPOINT_URL")
        url = named or regional_url(service, region or "")
        if region and url and not self._has_a_configuration():
            return endpoint_at(url), region
        client = self.make_session().create_client(service)
        return endpoint_at(client.meta.endpoint_url), client.meta.region_name

    def credentials(self) -> CredentialSource:
        """Who signs."""
        held = credentials_of(self.environ)
        return FixedCredentials(held) if held else SdkCredentials(lambda: self.make_session().get_credentials())

    def has_proxy(self, endpoint: Endpoint) -> bool:
        """Whether the environment wants the requests to go through a proxy."""
        return endpoint.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(endpoint.hostname)

    def tls_context(self) -> ssl.SSLContext:
        """What verifies the certificate of an endpoint. Reading the certificates to trust takes some 10 ms."""
        return ssl.create_default_context(cafile=self.environ.get("AWS_CA_BUNDLE") or self.certificates)

    def _has_a_configuration(self) -> bool:
        named = any(self.environ.get(name) for name in _ASK_THE_SDK)
        return named or Path(self.environ.get("AWS_CONFIG_FILE") or self.home / ".aws" / "config").is_file()

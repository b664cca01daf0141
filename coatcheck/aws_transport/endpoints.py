"""Where the services of AWS are reached."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from coatcheck.core.aws.call import Service

SERVICES: frozenset[Service] = frozenset({"dynamodb", "sqs", "secretsmanager"})
"""What is sent without an SDK. All three take JSON."""

# botocore/data/endpoints.json and the rules of each service
_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "us-gov-": "amazonaws.com",
    **dict.fromkeys(("us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-"), "amazonaws.com"),
}
_OF_THEIR_OWN = ("us-iso", "eu-iso", "us-isob", "us-isof", "eusc-")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that requests go to. `host` is what the header says, with the port where it is not the usual one."""

    scheme: str
    hostname: str
    port: int
    path: str
    host: str

    @property
    def is_tls(self) -> bool:
        """Whether it is reached over TLS."""
        return self.scheme == "https"


def endpoint_at(url: str) -> Endpoint:
    """The endpoint of a URL. Raises ValueError if it is none of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is no http or https URL of an AWS endpoint")
    usual = 443 if parts.scheme == "https" else 80
    port = parts.port or usual
    shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = shown if port == usual else f"{shown}:{port}"
    return Endpoint(parts.scheme, parts.hostname, port, parts.path or "/", host)


def regional_url(service: Service, region: str) -> str | None:
    """The URL of a service in a region; None for a region of a partition that this table does not know."""
    if region.startswith(_OF_THEIR_OWN):
        return None
    for prefix, domain in _DOMAINS.items():
        if region.startswith(prefix):
            return f"https://{service}.{region}.{domain}"
    return None

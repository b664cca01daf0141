"""Which URLs webhooks may go to, and which addresses. Pure: nothing here resolves a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

Address: TypeAlias = IPv4Address | IPv6Address

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
PUBLIC_PORTS = (443, 8443)
DEFAULT_PORTS = {"https": 443, "http": 80}

# https://www.iana.org/assignments/iana-ipv4-special-registry and, for multicast, RFC 5771. `is_global` of the standard
# library will not do: its meaning changed between patch releases of one Python, and multicast is global to it. What
# the registry calls globally reachable in these blocks is infrastructure, where nobody receives webhooks.
NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared by carriers, RFC 6598; Alibaba's metadata, 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "168.63.129.16/32",  # Azure's own services: public by number, inside by route
        "169.254.0.0/16",  # link-local, RFC 3927; metadata of AWS, Google and Azure
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890; Oracle's metadata, 192.0.0.192
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.31.196.0/24",  # AS112, RFC 7535
        "192.52.193.0/24",  # multicast tunnels, RFC 7450
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "192.175.48.0/24",  # AS112, RFC 7534
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112; broadcast, RFC 919
    )
)

GLOBAL_IPV6 = IPv6Network("2000::/3")
"""Global unicast, RFC 4291. Outside are loopback, private, link-local, multicast, NAT64 and IPv4 written as IPv6."""

# https://www.iana.org/assignments/iana-ipv6-special-registry
NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, RFC 2928: Teredo, ORCHID, benchmarks, AMT, AS112
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056: carries an IPv4 address
        "2620:4f:8000::/48",  # AS112, RFC 7534
        "3fff::/20",  # documentation, RFC 9637
    )
)
ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""How the lower half of an IPv6 address begins whose last 32 bits are an IPv4 address to tunnel to, RFC 5214."""

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

# RFC 6761 and 6762, RFC 8375, ICANN's resolution 2024.07.29.06, and what routers call their own networks
PRIVATE_SUFFIXES = (".arpa", ".home.arpa", ".internal", ".lan", ".local", ".localdomain", ".localhost")

_VISIBLE = re.compile(r"[!-\[\]-~]*")
_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]+)(?P<path>[^?#]*)(?P<query>[^#]*)(?P<fragment>.*)")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]%]*\]|[^:\[\]]+)(?::(?P<port>.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class UrlRefused(Exception):
    """A URL that webhooks may not go to. `reason` is one line for the client who named it."""

    def __init__(self, fault: str) -> None:
        self.reason: str = f"webhook url: {fault}"
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class SsrfPolicy:
    """Where webhooks may go: to public addresses over https; with `loopback`, also to loopback and over http.

    `refused` lists hosts that are refused whatever their addresses are: host and port, or None for every port.
    """

    loopback: bool
    refused: frozenset[tuple[str, int | None]]

    @classmethod
    def public(cls, *refused: str) -> SsrfPolicy:
        """Public addresses, by https, on ports 443 and 8443. `refused` are "host" or "host:port"."""
        return cls(loopback=False, refused=frozenset(map(_host_and_port, refused)))

    @classmethod
    def local(cls, *refused: str) -> SsrfPolicy:
        """Loopback as well, also over http, on any port: for development on one machine."""
        return cls(loopback=True, refused=frozenset(map(_host_and_port, refused)))

    def refuses(self, host: str, port: int) -> bool:
        """Whether a host, by name or by address, is one of the refused places. All of loopback is one host."""
        known = _canonical_host(host)
        return not self.refused.isdisjoint({(known, port), (known, None)})


@dataclass(frozen=True, slots=True)
class ParsedUrl:
    """A parsed URL. `address` is set where the host is a literal address; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None

    @property
    def authority(self) -> str:
        """Host and port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def check(url: str, ssrf_policy: SsrfPolicy) -> ParsedUrl:
    """Parse a URL, if its text allows webhooks to go there. Raises UrlRefused.

    A name that passes may still resolve to an address that is not allowed: that shows when it is resolved.
    """
    if len(url) > MAX_URL_LENGTH:
        raise UrlRefused(f"it must have at most {MAX_URL_LENGTH:,} characters")
    if not _VISIBLE.fullmatch(url):
        raise UrlRefused("use visible ASCII without spaces and backslashes; other host names in their xn-- form")
    parts = _URL.fullmatch(url)
    scheme = parts["scheme"].lower() if parts else ""
    if not parts or scheme not in (DEFAULT_PORTS if ssrf_policy.loopback else ("https",)):
        raise UrlRefused(f"it must be https{' or http' if ssrf_policy.loopback else ''}, like https://example.com/hook")
    if parts["fragment"]:
        raise UrlRefused("a fragment (#…) is not allowed in it")
    if "@" in parts["authority"]:
        raise UrlRefused("a user name and password are not allowed in it")
    authority_match = _AUTHORITY.fullmatch(parts["authority"])
    if not authority_match:
        raise UrlRefused("the host is not valid")
    port = _port(authority_match["port"], scheme, ssrf_policy)
    host, address = _host(authority_match["host"].lower(), ssrf_policy)
    if ssrf_policy.refuses(host, port) or (address and not allowed(address, ssrf_policy)):
        raise UrlRefused("the address is not allowed")
    return ParsedUrl(scheme, host, port, (parts["path"] or "/") + parts["query"], address)


def allowed(address: Address, ssrf_policy: SsrfPolicy) -> bool:
    """Whether webhooks may be sent to an address: public unicast, or loopback where that is a target."""
    if ssrf_policy.loopback and any(address in block for block in LOOPBACK):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in block for block in NOT_PUBLIC_IPV4)
    return (
        address in GLOBAL_IPV6
        and address.scope_id is None
        and not any(address in block for block in NOT_PUBLIC_IPV6)
        and int(address) >> 32 & 0xFFFF_FFFF not in ISATAP
    )


def _port(text: str | None, scheme: str, ssrf_policy: SsrfPolicy) -> int:
    """The port, the scheme's own if none is named."""
    if text is None:
        return DEFAULT_PORTS[scheme]
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise UrlRefused("the port must be a number from 1 to 65535, or left out with its colon")
    if not ssrf_policy.loopback and int(text) not in PUBLIC_PORTS:
        raise UrlRefused(f"port {text} is not allowed; use {' or '.join(map(str, PUBLIC_PORTS))}")
    return int(text)


def _host(text: str, ssrf_policy: SsrfPolicy) -> tuple[str, Address | None]:
    """The host as it is connected to, and its address where it is one.

    Every resolver treats a host that ends in a number as an IPv4 address, in notations that differ between resolvers.
    Only the plain notation is accepted: https://url.spec.whatwg.org/#ends-in-a-number-checker
    """
    name = text.removesuffix(".")
    try:
        if text.startswith("["):
            return _literal(IPv6Address(text[1:-1]))
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            return _literal(IPv4Address(text))
    except AddressValueError:
        raise UrlRefused("write the IP address like 198.51.100.7 or [2001:db8::7]") from None
    if len(name) > MAX_HOST_LENGTH or not all(map(_LABEL.fullmatch, name.split("."))):
        raise UrlRefused("the host is not a valid name")
    if not ssrf_policy.loopback and ("." not in name or f".{name}".endswith(PRIVATE_SUFFIXES)):
        raise UrlRefused("the host must be a public name, like example.com")
    return name, None


def _literal(address: Address) -> tuple[str, Address]:
    return str(address), address


def _host_and_port(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text}")
    return _canonical_host(parts.hostname or ""), parts.port


def _canonical_host(host: str) -> str:
    """One spelling for every way to write a host, and one for all of loopback."""
    name = host.lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return "localhost" if f".{name}".endswith(".localhost") else name
    return "localhost" if address.is_loopback else str(address)

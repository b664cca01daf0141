"""URLs that lead inside, in every way that is known to have worked on somebody."""

from __future__ import annotations

from base64 import b32decode, b32encode
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote

from coatcheck.core.ssrf import Address

ZONE = "hostile.example"
"""What the name server of the namespace answers for: see `meant`."""

REBOUND = "rebound-"
"""How a name begins that leads elsewhere when it is looked up again."""

PUBLIC_IPV4 = "93.184.216.34"
PUBLIC_IPV6 = "2606:2800:220:1::1"

INNER_IPV4 = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.254", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.9.10"),
    *("168.63.129.16", "169.254.100.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.254"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.254", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
)
INNER_IPV6 = (
    *("::", "::1", "100::1", "64:ff9b:1::a00:1", "2001:2::1", "2001:10::1", "2001:db8::1", "2620:4f:8000::1"),
    *("3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fec0::1", "ff02::1"),
)
URL_TEMPLATES = ("https://{}/", "https://{}:8443/", "http://{}/latest/meta-data/")
ODD_PORTS = (22, 25, 80, 6379, 8080, 9001, 9200)


def corpus() -> dict[str, list[str]]:
    """The URLs by their kind, none twice."""
    kinds = {
        "IPv4": [
            template.format(host)
            for ip in INNER_IPV4
            for host in notations(IPv4Address(ip))
            for template in URL_TEMPLATES
        ],
        "IPv4 in IPv6": [
            template.format(host)
            for ip in INNER_IPV4
            for host in ipv6_encodings(IPv4Address(ip))
            for template in URL_TEMPLATES
        ],
        "IPv6": [
            template.format(host)
            for ip in INNER_IPV6
            for host in spellings(IPv6Address(ip))
            for template in URL_TEMPLATES
        ],
        "names": [template.format(name) for name in names() for template in URL_TEMPLATES],
        "ports": [f"{scheme}://{ip}:{port}/" for scheme in ("http", "https") for ip in places() for port in ODD_PORTS],
        "confusion": [url for ip in places() for url in confusions(ip)],
        "redirects": list(redirects()),
    }
    return {kind: list(dict.fromkeys(urls)) for kind, urls in kinds.items()}


def places() -> Iterator[str]:
    """A few of each kind, as a URL has them."""
    yield from ("127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]")
    yield named("10.0.0.1")


def notations(ip: IPv4Address) -> Iterator[str]:
    """What some resolver or other takes for this address."""
    a, b, c, d = ip.packed
    number = int(ip)
    yield from (str(ip), f"{ip}.", str(number), f"{number}.", str(number + 2**32))
    yield from (f"{number:#x}", f"0X{number:X}", f"0x{'0' * 16}{number:x}", f"0{number:o}", f"{'0' * 8}{number:o}")
    yield from (f"{a}.{b}.{c << 8 | d}", f"{a}.{number & 0xFFFFFF}", f"{a:#x}.{number & 0xFFFFFF:#x}")
    yield from (f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:04o}.{b}.{c:#x}.{d}")
    yield from (f"{a:03}.{b:03}.{c:03}.{d:03}", f"{a + 256}.{b}.{c}.{d}", f"{a}.{b}.{c}.{d}.0", f"{a}.{b}..{c}.{d}")
    yield from (
        str(ip).translate(FULLWIDTH),
        str(ip).translate(CIRCLED),
        f"[{ip}]",
        f"%{ord(str(ip)[0]):x}{str(ip)[1:]}",
    )
    yield from (str(ip).replace(".", stop) for stop in ("\u3002", "\uff0e", "\uff61", "%2e", "%E3%80%82"))


FULLWIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
CIRCLED = {ord("0"): 0x24EA} | {ord("0") + digit: 0x245F + digit for digit in range(1, 10)}


def ipv6_encodings(ip: IPv4Address) -> Iterator[str]:
    """IPv6 addresses that carry this one, or are taken to it by some gateway."""
    number = int(ip)
    carriers = (
        0xFFFF << 32 | number,
        number,
        0xFFFF << 48 | number,
        0x64_FF9B << 96 | number,
        0x64_FF9B_0001 << 80 | number,
        0x2002 << 112 | number << 80,
        0x2002 << 112 | number << 80 | 1,
        0x2001 << 112 | number << 64 | 0xFFFF_FFFF,
        0x2001 << 112 | 0x5DB8_D822 << 64 | (number ^ 0xFFFF_FFFF),
        0x2606_2800_0220_0001 << 64 | 0x5EFE << 32 | number,
        0xFE80 << 112 | 0x5EFE << 32 | number,
    )
    yield from (f"[{IPv6Address(carrier)}]" for carrier in carriers)
    yield from (f"[::ffff:{ip}]", f"[::FFFF:{ip}]", f"[0:0:0:0:0:ffff:{ip}]", f"[::{ip}]", f"[64:ff9b::{ip}]")


def spellings(ip: IPv6Address) -> Iterator[str]:
    """Ways to write one IPv6 address."""
    yield from (f"[{ip}]", f"[{ip.exploded}]", f"[{str(ip).upper()}]", f"[{ip}%25lo]", f"[{ip}%lo]", str(ip))
    yield f"{str(ip).replace(':', '-')}.ipv6-literal.net"


def named(*addresses: str, first: str = "") -> str:
    """A name that resolves to all these addresses; with REBOUND `first`, to the first alone, and then to the others."""
    packed = (b32encode(ip_address(each).packed).decode().rstrip("=").lower() for each in addresses)
    return f"{first}{'-'.join(packed)}.{ZONE}"


def meant(name: str) -> list[Address]:
    """The addresses that a name was made of."""
    parts = name.removesuffix(f".{ZONE}").removeprefix(REBOUND).split("-")
    return [ip_address(b32decode(part.upper() + "=" * (-len(part) % 8))) for part in parts]


def names() -> Iterator[str]:
    """Names with inner addresses, alone, among public ones, and after them."""
    yield from ("localhost", "localhost.localdomain", "ip6-localhost", "metadata", "a.localhost", f"localhost.{ZONE}")
    for inner in (*INNER_IPV4, *INNER_IPV6):
        yield named(inner)
        yield f"{named(inner)}.".upper()
        yield named(PUBLIC_IPV4, inner)
        yield named(inner, PUBLIC_IPV4)
        yield named(PUBLIC_IPV6, PUBLIC_IPV4, inner)
        yield named(PUBLIC_IPV4 if "." in inner else PUBLIC_IPV6, inner, first=REBOUND)


def confusions(place: str) -> Iterator[str]:
    """URLs that two parsers take for two different hosts."""
    public = named(PUBLIC_IPV4)
    yield from (f"{scheme}://{public}@{place}/" for scheme in ("http", "https"))
    yield from (f"{scheme}://{public}:443@{place}/" for scheme in ("http", "https"))
    yield from (f"{scheme}://{place}@{public}@{place}/" for scheme in ("http", "https"))
    yield from (
        f"http{s}://{place}{end}{public}/" for s in ("", "s") for end in ("#@", "?@", "/@", "\\@", "%23@", ";@")
    )
    yield from (f"http{s}://{public}{end}{place}/" for s in ("", "s") for end in ("\\@", "\t@", " @", "%00@", "\r\n@"))
    yield from (f"http:{place}/", f"https:/{place}/", f"https:///{place}/", f"//{place}/", f"https:\\\\{place}/")
    yield from (
        f" http://{place}/",
        f"ht\ttp://{place}/",
        f"http://{place}/\r\nHost: {public}\r\n",
        f"http://\x00{place}/",
    )
    yield from (f"{scheme}://{place}/" for scheme in ("ftp", "file", "gopher", "dict", "ldap", "ws", "wss", "jar:http"))
    yield from (f"https://{place}:/", f"https://{place}:0443/", f"https://{place}:443:443/", f"https://{place}:+443/")


def redirects() -> Iterator[str]:
    """Public receivers that send whoever asks inside."""
    for status in (300, 301, 302, 303, 307, 308):
        for place in (*places(), "0.0.0.0", "192.168.0.1", "[fd00:ec2::254]", "2130706433", named("169.254.169.254")):
            yield f"https://{named(PUBLIC_IPV4)}/to?{status}&{quote(f'http://{place}/', safe='')}"
            yield f"https://{named(PUBLIC_IPV6)}:8443/to?{status}&{quote(f'//{place}:8443/', safe='')}"

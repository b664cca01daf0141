"""Which URLs and addresses webhooks may go to."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coatcheck.core.ssrf import Address, ParsedUrl, SsrfPolicy, UrlRefused, allowed, check

PUBLIC = SsrfPolicy.public("api.example.com", "hooks.example.com:8443")
LOCAL = SsrfPolicy.local("127.0.0.1:9001", "169.254.100.1:9001")

IPV4 = st.ip_addresses(v=4)
INNER_IPV4 = st.one_of(
    *(
        st.ip_addresses(v=4, network=block)
        for block in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12")
    ),
    *(st.ip_addresses(v=4, network=block) for block in ("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4")),
)


def target(host: str, port: int = 443, path: str = "/", scheme: str = "https", *, literal: bool = False) -> ParsedUrl:
    return ParsedUrl(scheme, host, port, path, ip_address(host) if literal else None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", target("example.com")),
        ("HTTPS://Example.COM./a//b?c=d", target("example.com", path="/a//b?c=d")),
        ("https://example.com?q=/@:", target("example.com", path="/?q=/@:")),
        ("https://example.com:8443/", target("example.com", 8443)),
        ("https://xn--bcher-kva.example/", target("xn--bcher-kva.example")),
        ("https://my_hook.example.com/", target("my_hook.example.com")),
        ("https://10.0.0.1.example.com/", target("10.0.0.1.example.com")),
        ("https://hooks.example.com/", target("hooks.example.com")),
        ("https://93.184.216.34/", target("93.184.216.34", literal=True)),
        ("https://[2606:2800:220:1:0::1]:443/", target("2606:2800:220:1::1", literal=True)),
    ],
)
def test_a_public_url_is_taken_apart(url: str, expected: ParsedUrl) -> None:
    assert check(url, PUBLIC) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:3000/hook", target("localhost", 3000, "/hook", "http")),
        ("http://receiver/", target("receiver", 80, scheme="http")),
        ("http://127.0.0.1:22/", target("127.0.0.1", 22, scheme="http", literal=True)),
        ("https://[::1]/", target("::1", literal=True)),
        ("https://example.com/", target("example.com")),
    ],
)
def test_a_local_url_is_taken_apart(url: str, expected: ParsedUrl) -> None:
    assert check(url, LOCAL) == expected


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://example.com:443", "example.com"),
        ("https://example.com:8443", "example.com:8443"),
        ("https://[2606:2800:220:1::1]", "[2606:2800:220:1::1]"),
        ("https://[2606:2800:220:1::1]:8443", "[2606:2800:220:1::1]:8443"),
    ],
)
def test_the_authority_names_a_port_that_is_not_the_schemes(url: str, authority: str) -> None:
    assert check(url, PUBLIC).authority == authority


SCHEME = "it must be https, like https://example.com/hook"
VISIBLE = "use visible ASCII without spaces and backslashes; other host names in their xn-- form"
NUMBER = "write the IP address like 198.51.100.7 or [2001:db8::7]"
NAME = "the host is not a valid name"
PRIVATE = "the host must be a public name, like example.com"
PORT = "the port must be a number from 1 to 65535, or left out with its colon"
ADDRESS = "the address is not allowed"

REFUSED = [
    ("", SCHEME),
    ("example.com", SCHEME),
    ("//example.com", SCHEME),
    ("https:example.com", SCHEME),
    ("https:///example.com", SCHEME),
    ("https://", SCHEME),
    ("https://?x", SCHEME),
    ("http://example.com", SCHEME),
    ("ftp://example.com", SCHEME),
    ("file:///etc/passwd", SCHEME),
    ("gopher://10.0.0.1", SCHEME),
    (" https://example.com", VISIBLE),
    ("https://example.com/\r\nHost: inside", VISIBLE),
    ("https://exam\tple.com/", VISIBLE),
    ("https://example.com\\@10.0.0.1/", VISIBLE),
    ("https://bücher.example/", VISIBLE),
    ("https://\uff11\uff12\uff17.0.0.1/", VISIBLE),
    ("https://127\u30020\u30020\u30021/", VISIBLE),
    ("https://example.com/#top", "a fragment (#…) is not allowed in it"),
    ("https://example.com#@10.0.0.1/", "a fragment (#…) is not allowed in it"),
    ("https://me:secret@example.com/", "a user name and password are not allowed in it"),
    ("https://example.com:443@10.0.0.1/", "a user name and password are not allowed in it"),
    ("https://@example.com/", "a user name and password are not allowed in it"),
    ("https://example.com:22/", "port 22 is not allowed; use 443 or 8443"),
    ("https://example.com:80/", "port 80 is not allowed; use 443 or 8443"),
    ("https://example.com:/", PORT),
    ("https://example.com:0443/", PORT),
    ("https://example.com:65536/", PORT),
    ("https://example.com:443:443/", PORT),
    ("https://:443/", "the host is not valid"),
    ("https://2606:2800:220:1::1/", PORT),
    ("https://[2606:2800:220:1::1/", "the host is not valid"),
    ("https://[]/", NUMBER),
    ("https://[::1%25lo]/", "the host is not valid"),
    ("https://[2606:2800:220:1::1%eth0]/", "the host is not valid"),
    ("https://[example.com]/", NUMBER),
    ("https://[93.184.216.34]/", NUMBER),
    ("https://0x7f000001/", NUMBER),
    ("https://2130706433/", NUMBER),
    ("https://017700000001/", NUMBER),
    ("https://127.1/", NUMBER),
    ("https://0177.0.0.1/", NUMBER),
    ("https://0X7F.0.0.1/", NUMBER),
    ("https://127.0.0.0x1/", NUMBER),
    ("https://127.0.0.1./", NUMBER),
    ("https://093.184.216.34/", NUMBER),
    ("https://256.1.1.1/", NUMBER),
    ("https://93.184.216.34.1/", NUMBER),
    ("https://%31%32%37.0.0.1/", NUMBER),
    ("https://example.c%6fm/", NAME),
    ("https://example..com/", NAME),
    ("https://.example.com/", NAME),
    ("https://example.com../", NAME),
    ("https://-example.com/", NAME),
    (f"https://{'a' * 64}.com/", NAME),
    (f"https://{'a.' * 127}com/", NAME),
    ("https://localhost/", PRIVATE),
    ("https://metadata/", PRIVATE),
    ("https://localhost./", PRIVATE),
    ("https://local/", PRIVATE),
    ("https://metadata.google.internal/", PRIVATE),
    ("https://printer.LOCAL./", PRIVATE),
    ("https://nas.home.arpa/", PRIVATE),
    ("https://1.0.0.10.in-addr.arpa/", PRIVATE),
    ("https://10.0.0.1/", ADDRESS),
    ("https://[::1]/", ADDRESS),
    ("https://API.example.com.:8443/", ADDRESS),
    ("https://hooks.example.com:8443/", ADDRESS),
    (f"https://example.com/{'a' * 2048}", "it must have at most 2,048 characters"),
]


@pytest.mark.parametrize(("url", "fault"), REFUSED)
def test_what_is_refused_is_told_in_a_line(url: str, fault: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        check(url, PUBLIC)
    assert refused.value.reason == str(refused.value) == f"webhook url: {fault}"


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1%25lo]/",
        "ftp://localhost/",
        "http://0.0.0.0/",
        # the Lambda runtime, by every name of loopback
        "http://127.0.0.1:9001/",
        "http://127.0.0.2:9001/",
        "http://[::1]:9001/",
        "http://localhost:9001/",
        "http://other.localhost.:9001/",
        "http://169.254.100.1:9001/",
    ],
)
def test_loopback_alone_is_local(url: str) -> None:
    with pytest.raises(UrlRefused):
        check(url, LOCAL)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "93.184.216.34", "168.63.129.15", "100.128.0.1", "192.0.1.1", "223.255.255.255"),
        *("2001:200::1", "2001:4860:4860::8888", "2606:2800:220:1::1", "2a00::1", "3ffe::1"),
    ],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert allowed(ip_address(address), PUBLIC)
    assert allowed(ip_address(address), LOCAL)


INNER = [
    *("0.0.0.0", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254"),
    *("169.254.170.2", "172.31.255.255", "192.0.0.192", "192.0.0.9", "192.31.196.1", "192.52.193.1", "192.88.99.1"),
    *("192.168.0.1", "192.175.48.1", "198.19.255.255", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:8.8.8.8", "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "100::1"),
    *("2001::1", "2001:20::1", "2001:db8::1", "2002:808:808::1", "2620:4f:8000::1", "3fff::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1"),
    *("2606:2800:220:1::1%eth0", "2606:2800:220:1:0:5efe:a00:1", "2606:2800:220:1:200:5efe:a00:1"),
]


@pytest.mark.parametrize("address", INNER)
def test_other_addresses_are_not(address: str) -> None:
    assert not allowed(ip_address(address), PUBLIC)
    assert allowed(ip_address(address), LOCAL) is (address in {"127.0.0.1", "::1"})


@given(st.ip_addresses())
@example(ip_address("3fff::1"))
def test_what_python_knows_as_not_public_is_refused(address: Address) -> None:
    inner = address.is_private or address.is_reserved or address.is_multicast or not address.is_global
    assert not (inner and allowed(address, PUBLIC))


@given(INNER_IPV4)
def test_an_inner_ipv4_is_refused_in_every_dress(address: Address) -> None:
    number = int(address)
    inside = [
        number,
        0xFFFF << 32 | number,
        0xFFFF << 48 | number,
        0x64_FF9B << 96 | number,
        0x64_FF9B_0001 << 80 | number,
        0x2002 << 112 | number << 80 | 1,
        0x2001 << 112 | number << 64 | 1,
        0x2001 << 112 | 0x5DB8_D822 << 64 | (number ^ 0xFFFF_FFFF),
        0x2606_2800_0220_0001 << 64 | 0x5EFE << 32 | number,
        0xFE80 << 112 | 0x0200_5EFE << 32 | number,
    ]
    assert not allowed(IPv4Address(number), PUBLIC)
    assert not [dressed for dressed in map(IPv6Address, inside) if allowed(dressed, PUBLIC)]


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_has_one_notation(number: int) -> None:
    a, b, c, d = number.to_bytes(4)
    others = [
        str(number),
        hex(number),
        oct(number).replace("o", ""),
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a:#x}.{b}.{c}.{d:#x}",
        f"0{a:o}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.0{d}",
    ]
    for host in others:
        with pytest.raises(UrlRefused):
            check(f"http://{host}/", LOCAL)


@given(st.text(st.characters(max_codepoint=0x2FFF), max_size=40))
@example("example.com")
def test_whatever_follows_the_scheme_is_taken_apart_or_refused(rest: str) -> None:
    with suppress(UrlRefused):
        found = check(f"https://{rest}", PUBLIC)
        assert check(f"https://{found.authority}{found.path}", PUBLIC) == found


def test_a_second_guard_finds_nothing_more_to_refuse() -> None:
    """`ssrfguard` has the registries in a table of its own; each block's ends and neighbours are looked up in both."""
    guard = pytest.importorskip("ssrfguard")
    for block in guard.DEFAULT_DENIED.blocks:
        first, last = int(block.network[0]), int(block.network[-1])
        kind = IPv4Address if block.network.version == 4 else IPv6Address
        for number in (first - 1, first, first + 1, (first + last) // 2, last, last + 1):
            if 0 <= number < 2**block.network.max_prefixlen:
                address = kind(number)
                assert not (guard.DEFAULT_DENIED.classify(address).blocked and allowed(address, PUBLIC)), address

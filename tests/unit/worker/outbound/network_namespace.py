"""A network of its own in which every address is this machine, and what URLs from the corpus reach there.

Run by `test_hostile.py` in new namespaces. Prints one JSON object: what each client did.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import unquote

import httpx
import urllib3

from coatcheck.core.ssrf import Address, SsrfPolicy
from coatcheck_worker.webhooks.outbound.post import post
from coatcheck_worker.webhooks.outbound.request_errors import RequestFailed
from tests.unit.worker.outbound.hostile_urls import (
    ODD_PORTS,
    PUBLIC_IPV4,
    PUBLIC_IPV6,
    REBOUND,
    ZONE,
    corpus,
    meant,
    named,
)
from tests.unit.worker.outbound.scripted_receivers import Authority

Send = Callable[[str], object]
PORTS = sorted({443, 8443, *ODD_PORTS})


class Listeners:
    """Listen to every address on a few ports, and count who got what."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.connections: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        for port in PORTS:
            listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            conn, _ = listener.accept()
            place = IPv6Address(conn.getsockname()[0].partition("%")[0])
            address = str(place.ipv4_mapped or place)
            self.connections[address] += 1
            threading.Thread(target=self._serve, args=(conn, address), daemon=True).start()

    def _serve(self, conn: socket.socket, address: str) -> None:
        with suppress(OSError), conn:
            conn.settimeout(5)
            secure = conn.recv(1, socket.MSG_PEEK) == b"\x16"
            with self.context.wrap_socket(conn, server_side=True) if secure else conn as stream:
                line = stream.recv(65_536).split(b"\r\n")[0].decode("latin-1")
                self.requests[address] += bool(line)
                stream.sendall(_answer(line))


def _answer(line: str) -> bytes:
    """A redirect to where the path says, or 200."""
    _, asked, wanted = line.partition("/to?")
    status, _, location = wanted.partition(" ")[0].partition("&")
    head = f"{status} See There\r\nLocation: {unquote(location)}" if asked else "200 OK"
    return f"HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


class NameServer:
    """A name server for ZONE on loopback. A name is made of its addresses: see `hostile.named`."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self.transport = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.transport.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, sender = self.transport.recvfrom(4096)
            self.transport.sendto(self._reply(question), sender)

    def _reply(self, message: bytes) -> bytes:
        labels, at = [], 12
        while length := message[at]:
            labels.append(message[at + 1 : at + 1 + length].decode().lower())
            at += 1 + length
        kind = int.from_bytes(message[at + 1 : at + 3])
        found = [ip for ip in self._addresses(".".join(labels), kind) if kind == (1 if ip.version == 4 else 28)]
        known = labels[-2:] == ZONE.split(".")
        head = message[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\x01" + len(found).to_bytes(2) + bytes(4)
        records = [
            b"\xc0\x0c" + message[at + 1 : at + 5] + bytes(4) + len(ip.packed).to_bytes(2) + ip.packed for ip in found
        ]
        return head + message[12 : at + 5] + b"".join(records)

    def _addresses(self, name: str, kind: int) -> list[Address]:
        if name == f"localhost.{ZONE}":
            return [ip_address("127.0.0.1"), ip_address("::1")]
        try:
            found = meant(name)
        except ValueError:
            return []
        if not name.startswith(REBOUND):
            return found
        self.asked[name, kind] += 1
        return found[:1] if self.asked[name, kind] == 1 else found[1:]


def opened() -> int:
    """The TCP connections that were begun here, accepted or not: ActiveOpens of RFC 4022."""
    names, values = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    )
    return int(values[names.index("ActiveOpens")])


def run(send: Send, urls: list[str], listeners: Listeners, names: NameServer) -> dict[str, object]:
    """Send to each URL, and tell what came of it."""
    for counter in (listeners.connections, listeners.requests, names.asked):
        counter.clear()
    before = opened()
    outcomes = Counter(str(send(url)) for url in urls)
    begun = opened() - before
    until = monotonic() + 5
    while listeners.connections.total() < begun and monotonic() < until:
        sleep(0.05)
    return {
        "outcomes": outcomes,
        "begun": begun,
        "connections": dict(listeners.connections),
        "requests": dict(listeners.requests),
    }


def sender(ssrf_policy: SsrfPolicy, context: ssl.SSLContext) -> Send:
    """Ours."""

    def send(url: str) -> object:
        try:
            return post(url, b"{}", {}, ssrf_policy, seconds=5, context=context).status
        except RequestFailed as failure:
            return failure.code

    return send


def plain_urllib3(context: ssl.SSLContext) -> Send:
    """What anybody would write."""
    pool = urllib3.PoolManager(ssl_context=context, timeout=2, retries=urllib3.Retry(0, redirect=3))

    def send(url: str) -> object:
        try:
            return pool.request("POST", url, body=b"{}").status
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as failure:
            return type(failure).__name__

    return send


def plain_httpx(context: ssl.SSLContext) -> Send:
    """What anybody else would write."""
    client = httpx.Client(verify=context, timeout=2, follow_redirects=True)

    def send(url: str) -> object:
        try:
            return client.post(url, content=b"{}").status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as failure:
            return type(failure).__name__

    return send


def settle(folder: Path) -> None:
    """Make every address this machine's, and our name server its only one."""
    for command in ("ip link set lo up", "ip route add local 0.0.0.0/0 dev lo", "ip -6 route add local ::/0 dev lo"):
        subprocess.run(command.split(), check=True)
    for name, text in (
        ("resolv.conf", "nameserver 127.0.0.1\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
        ("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"),
    ):
        (folder / name).write_text(text)
        subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)


def main() -> None:
    """Let every client loose on the corpus."""
    with tempfile.TemporaryDirectory() as name:
        settle(Path(name))
        authority = Authority(Path(name))
        trusted = authority.trusted()
        listeners = Listeners(authority.server(f"*.{ZONE}", PUBLIC_IPV4, PUBLIC_IPV6))
        names = NameServer()
        urls = [url for kind in corpus().values() for url in kind]
        public = [
            f"https://{host}/" for host in (PUBLIC_IPV4, f"[{PUBLIC_IPV6}]", named(PUBLIC_IPV4), named(PUBLIC_IPV6))
        ]
        clients = {
            "public": sender(SsrfPolicy.public(), trusted),
            "local": sender(SsrfPolicy.local("127.0.0.1:9001"), trusted),
            "urllib3": plain_urllib3(trusted),
            "httpx": plain_httpx(trusted),
        }
        report = {name: run(send, urls, listeners, names) for name, send in clients.items()}
        report["allowed"] = run(clients["public"], public, listeners, names)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

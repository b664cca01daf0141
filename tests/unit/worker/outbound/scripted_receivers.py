"""Receivers of webhooks that do as they are told, and the certificates they show. All on loopback."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class ReceiverScript:
    """What a receiver sends once it has the request: `first`, then `again` every `pause` seconds, then the end.

    Without `again` it ends at once. What does not read takes nothing from its connection; what resets ends it rudely.
    """

    first: bytes
    again: bytes | None = None
    pause: float = 0.0
    reads: bool = True
    resets: bool = False


@dataclass
class ScriptedReceiver:
    """Where a receiver listens, and the requests that it got."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def receiver(script: ReceiverScript, context: ssl.SSLContext | None = None) -> Iterator[ScriptedReceiver]:
    """A receiver that follows the script with every connection, by TLS where there is a context."""
    over = threading.Event()
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        stack.callback(over.set)
        here = ScriptedReceiver(listener.getsockname()[1])
        if not script.reads:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def serve(conn: socket.socket) -> None:
            with suppress(OSError), conn:
                conn.settimeout(10)
                _play_script(script, context.wrap_socket(conn, server_side=True) if context else conn, here, over)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    conn, _ = listener.accept()
                    threading.Thread(target=serve, args=(conn,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield here
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _play_script(script: ReceiverScript, conn: socket.socket, here: ScriptedReceiver, over: threading.Event) -> None:
    with conn:
        if script.reads:
            here.requests.append(request(conn))
        conn.sendall(script.first)
        while script.again is not None and not over.wait(script.pause):
            conn.sendall(script.again)
        if script.resets:
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def request(conn: socket.socket) -> bytes:
    """A whole request, as long as its Content-Length says."""
    taken = b""
    while b"\r\n\r\n" not in taken:
        taken += conn.recv(65_536) or _gone()
    head, _, body = taken.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += conn.recv(65_536) or _gone()
    return head + b"\r\n\r\n" + body


def _gone() -> bytes:
    raise ConnectionError("the sender went away")


class Authority:
    """A certificate authority, and contexts for those who trust it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _named("a test's authority")
        self.certificate = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None))

    def trusted(self) -> ssl.SSLContext:
        """For senders that trust this authority alone."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server(self, *names: str, days: int = 1) -> ssl.SSLContext:
        """For a receiver of these names and addresses, whose certificate ends in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(_named(names[0]), key, x509.SubjectAlternativeName(map(_general, names)), days)
        return self._server(key, certificate)

    def itself(self) -> ssl.SSLContext:
        """For a receiver that shows a certificate it signed itself."""
        return self._server(self.key, self.certificate)

    def _server(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
        file = self.folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType, days: int = 1
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self.key, hashes.SHA256())
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

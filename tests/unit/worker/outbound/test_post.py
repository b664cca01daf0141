"""What is sent, what of the answer is taken, and what every failure is called."""

from __future__ import annotations

import gzip
import socket
import ssl
from typing import Any

import pytest

from coatcheck.core.ssrf import SsrfPolicy
from coatcheck_worker.webhooks.outbound.post import HttpResponse, post
from coatcheck_worker.webhooks.outbound.request_errors import (
    InvalidResponse,
    NotAllowed,
    RequestFailed,
    TlsFailed,
    Unreachable,
)
from tests.unit.worker.outbound.scripted_receivers import OK, Authority, ReceiverScript, ScriptedReceiver, receiver

LOCAL = SsrfPolicy.local()


def send(here: ScriptedReceiver, **more: Any) -> HttpResponse:
    return post(f"http://127.0.0.1:{here.port}/hook?a=b", b"{}", {"webhook-id": "evt_1"}, LOCAL, seconds=5, **more)


def resolved(*addresses: str) -> Any:
    """A resolver that knows one answer."""
    return lambda _host, port, **_: [(0, 0, 0, "", (address, port)) for address in addresses]


def test_the_request_says_what_it_must_and_no_more() -> None:
    with receiver(ReceiverScript(OK)) as here:
        answer = send(here)
    (request,) = here.requests
    assert request.split(b"\r\n") == [
        b"POST /hook?a=b HTTP/1.1",
        f"Host: 127.0.0.1:{here.port}".encode(),
        b"Content-Length: 2",
        b"Accept-Encoding: identity",
        b"Connection: close",
        b"webhook-id: evt_1",
        b"",
        b"{}",
    ]
    assert (answer.status, answer.retry_after, answer.body) == (200, None, b"")
    assert 0 < answer.seconds < 5


def test_a_redirect_is_an_answer() -> None:
    with receiver(ReceiverScript(OK)) as inside:
        location = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside.port}/\r\nContent-Length: 0\r\n\r\n"
        with receiver(ReceiverScript(location.encode())) as here:
            assert send(here).status == 302
    assert inside.requests == []


def test_when_to_try_again_is_told() -> None:
    with receiver(ReceiverScript(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nbusy")) as here:
        answer = send(here)
    assert (answer.status, answer.retry_after, answer.body) == (503, "120", b"busy")


def test_bodies_are_left_as_they_came() -> None:
    bomb = gzip.compress(b"a" * 100_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    with receiver(ReceiverScript(head.encode() + bomb)) as here:
        assert send(here).body == bomb


def test_a_kilobyte_is_kept() -> None:
    with receiver(ReceiverScript(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"a" * 3000)) as here:
        assert send(here).body == b"a" * 1024


@pytest.mark.parametrize("early", [100, 102, 103])
def test_what_comes_before_the_answer_is_not_the_answer(early: int) -> None:
    with receiver(ReceiverScript(f"HTTP/1.1 {early} Early\r\nLink: </a>\r\n\r\n".encode() + OK)) as here:
        assert send(here).status == 200


def test_an_answer_may_end_with_its_connection() -> None:
    with receiver(ReceiverScript(b"HTTP/1.0 200 OK\r\n\r\nfine")) as here:
        assert send(here).body == b"fine"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_half_an_answer_and_garbage_are_none(answer: bytes) -> None:
    with receiver(ReceiverScript(answer)) as here, pytest.raises(InvalidResponse):
        send(here)


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(ReceiverScript(OK)) as proxy, receiver(ReceiverScript(OK)) as here:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        assert send(here).status == 200
    assert (len(proxy.requests), len(here.requests)) == (0, 1)


def test_a_closed_port_is_unreachable() -> None:
    with receiver(ReceiverScript(OK)) as here:
        pass
    with pytest.raises(Unreachable):
        send(here)


def test_a_connection_that_is_reset_is_unreachable() -> None:
    with receiver(ReceiverScript(b"HTTP/1.1 200 OK\r\n", resets=True)) as here, pytest.raises(Unreachable):
        send(here)


def test_the_next_address_is_tried_where_one_is_dead() -> None:
    with receiver(ReceiverScript(OK)) as here:
        url = f"http://receiver.example:{here.port}/"
        assert post(url, b"", {}, LOCAL, seconds=5, resolve=resolved("::1", "127.0.0.1")).status == 200


def test_three_addresses_are_tried() -> None:
    resolve = resolved("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1")
    with receiver(ReceiverScript(OK)) as here, pytest.raises(Unreachable):
        post(f"http://receiver.example:{here.port}/", b"", {}, LOCAL, seconds=5, resolve=resolve)


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("127.0.0.1", "10.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1")])
def test_one_refused_address_refuses_the_name(addresses: tuple[str, ...]) -> None:
    with receiver(ReceiverScript(OK)) as here, pytest.raises(NotAllowed, match="has no address that is allowed"):
        post(f"http://both.example:{here.port}/", b"", {}, LOCAL, seconds=5, resolve=resolved(*addresses))
    assert here.requests == []


def test_a_refused_place_is_refused_by_a_name_for_it_too() -> None:
    with receiver(ReceiverScript(OK)) as here:
        ssrf_policy = SsrfPolicy.local(f"127.0.0.1:{here.port}")
        for address in ("127.0.0.1", "127.0.0.2", "::1"):
            with pytest.raises(NotAllowed):
                post(f"http://a.example:{here.port}/", b"", {}, ssrf_policy, seconds=5, resolve=resolved(address))
    assert here.requests == []


def test_a_url_that_is_not_allowed_is_not_resolved() -> None:
    asked: list[Any] = []

    def resolve(*name: Any, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(name)
        return []

    for url in ("http://a.example/", "https://a.example:22/", "https://localhost/", "https://10.0.0.1/"):
        with pytest.raises(NotAllowed, match=r"^the host has no address that is allowed$"):
            post(url, b"", {}, SsrfPolicy.public(), resolve=resolve)
    assert asked == []


def unknown(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "who is that?")


@pytest.mark.parametrize("resolve", [unknown, resolved()])
def test_a_name_without_address_is_as_one_that_leads_inside(resolve: Any) -> None:
    with pytest.raises(NotAllowed):
        post("https://nowhere.example/", b"", {}, SsrfPolicy.public(), seconds=5, resolve=resolve)


def secure(here: ScriptedReceiver, host: str, context: ssl.SSLContext | None) -> HttpResponse:
    url = f"https://{host}:{here.port}/"
    return post(url, b"{}", {}, LOCAL, seconds=5, resolve=resolved("127.0.0.1"), context=context)


@pytest.mark.parametrize("host", ["receiver.example", "127.0.0.1"])
def test_tls_knows_names_and_addresses(authority: Authority, host: str) -> None:
    with receiver(ReceiverScript(OK), authority.server(host)) as here:
        assert secure(here, host, authority.trusted()).status == 200
    assert f"Host: {host}:{here.port}".encode() in here.requests[0]


def test_a_certificate_must_be_valid_for_the_name_now_and_by_a_known_hand(authority: Authority) -> None:
    trusted = authority.trusted()
    for server, context, fault in (
        (authority.server("other.example"), trusted, "Hostname mismatch"),
        (authority.server("127.0.0.1"), trusted, "Hostname mismatch"),
        (authority.server("receiver.example", days=-1), trusted, "certificate has expired"),
        (authority.server("receiver.example"), None, "unable to get local issuer"),
        (authority.itself(), None, "self-signed"),
    ):
        with receiver(ReceiverScript(OK), server) as here, pytest.raises(TlsFailed, match=fault):
            secure(here, "receiver.example", context)
        assert here.requests == []


def test_old_tls_and_no_tls_fail(authority: Authority) -> None:
    old = authority.server("receiver.example")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    for script, context in ((ReceiverScript(OK), old), (ReceiverScript(OK, reads=False), None)):
        with receiver(script, context) as here, pytest.raises(TlsFailed):
            secure(here, "receiver.example", authority.trusted())


def test_every_failure_has_a_code_and_a_line() -> None:
    kinds = RequestFailed.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) == 5
    assert not [kind for kind in kinds if "\n" in kind.text or str(kind()) != kind.text]

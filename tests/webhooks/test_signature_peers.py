"""Our signatures are verified by the public libraries, theirs by us: Python and JavaScript."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol

import pytest
import standardwebhooks
import svix.webhooks

from coatcheck.core.signature import ID, SIGNATURE, TIMESTAMP, BadSignature, derive_secret, sign, verify

NODE_SIDE = Path(__file__).parent.parent / "node" / "peers.mjs"
SECRET, OTHER, THIRD = (derive_secret(bytes(range(32)), name) for name in ("one", "other", "third"))
SHORTEST, LONGEST = (f"whsec_{base64.b64encode(bytes(size)).decode()}" for size in (24, 64))
BODY = '{"type": "job.succeeded", "data": {"id": "job_1", "metadata": {"place": "Zürich 🎟"}, "ratio": 0.1}}'.encode()
LARGE = b'{"a": "%s"}' % (b"x" * 19_000)

Webhook = tuple[str, Mapping[str, str], bytes]
"""The secret that its receiver knows, the headers, the body."""

Verdict = dict[str, Any] | None
"""The event, or None for a webhook that was refused."""


class Peer(Protocol):
    """A public library."""

    def verdicts(self, webhooks: Iterable[Webhook]) -> list[Verdict]: ...

    def signature(self, secret: str, webhook_id: str, at: int, body: bytes) -> str: ...


class InPython:
    """`standardwebhooks` or `svix`; the latter gives no event back, only its word."""

    def __init__(self, webhook: Callable[[str], Any]) -> None:
        self._webhook = webhook

    def verdicts(self, webhooks: Iterable[Webhook]) -> list[Verdict]:
        return [self._verdict(*webhook) for webhook in webhooks]

    def signature(self, secret: str, webhook_id: str, at: int, body: bytes) -> str:
        made: str = self._webhook(secret).sign(webhook_id, datetime.fromtimestamp(at, UTC), body.decode())
        return made

    def _verdict(self, secret: str, headers: Mapping[str, str], body: bytes) -> Verdict:
        try:
            event: dict[str, Any] | None = self._webhook(secret).verify(body, dict(headers))
        except (standardwebhooks.WebhookVerificationError, ValueError):
            return None
        return json.loads(body) if event is None else event


class InJavaScript:
    """The npm package of that name, in a Node process."""

    def __init__(self, library: str, node: str, folder: Path) -> None:
        self._library = library
        self._command = [node, str(NODE_SIDE)]
        self._folder = folder

    def verdicts(self, webhooks: Iterable[Webhook]) -> list[Verdict]:
        tasks = [self._task(secret, body, headers=dict(headers)) for secret, headers, body in webhooks]
        return [outcome.get("event") for outcome in self._run(tasks)]

    def signature(self, secret: str, webhook_id: str, at: int, body: bytes) -> str:
        made: str = self._run([self._task(secret, body, id=webhook_id, at=at)])[0]["signature"]
        return made

    def _task(self, secret: str, body: bytes, **more: Any) -> dict[str, Any]:
        return {"library": self._library, "secret": secret, "body": base64.b64encode(body).decode(), **more}

    def _run(self, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        ran = subprocess.run(
            self._command, input=json.dumps(tasks), cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        outcomes: list[dict[str, Any]] = json.loads(ran.stdout)
        return outcomes


@pytest.fixture(params=["standardwebhooks", "svix", "npm standardwebhooks", "npm svix"])
def peer(request: pytest.FixtureRequest) -> Peer:
    name: str = request.param
    if name.startswith("npm "):
        return InJavaScript(name[4:], request.getfixturevalue("node"), request.getfixturevalue("libraries"))
    return InPython({"standardwebhooks": standardwebhooks.Webhook, "svix": svix.webhooks.Webhook}[name])


def genuine() -> dict[str, Webhook]:
    """Webhooks that everybody accepts, made now: the libraries read the clock."""
    now = int(time.time())
    headers, rotating = (sign(secrets, "evt_1", now, BODY) for secrets in ([SECRET], [OTHER, SECRET]))
    return {
        "as it is": (SECRET, headers, BODY),
        "headers in another case": (SECRET, {name.title(): value for name, value in headers.items()}, BODY),
        "the shortest secret": (SHORTEST, sign([SHORTEST], "evt_1", now, BODY), BODY),
        "the longest secret": (LONGEST, sign([LONGEST], "evt_1", now, BODY), BODY),
        "an object with nothing in it": (SECRET, sign([SECRET], "evt_1", now, b"{}"), b"{}"),
        "a large body": (SECRET, sign([SECRET], "evt_1", now, LARGE), LARGE),
        "rotation, the new secret": (OTHER, rotating, BODY),
        "rotation, the one before": (SECRET, rotating, BODY),
        "rotation, a retry after it": (OTHER, sign([OTHER], "evt_1", now, BODY), BODY),
        "four minutes ago": (SECRET, sign([SECRET], "evt_1", now - 240, BODY), BODY),
        "four minutes ahead": (SECRET, sign([SECRET], "evt_1", now + 240, BODY), BODY),
        "another version beside": (SECRET, {**headers, SIGNATURE: f"v1a,AAAA {headers[SIGNATURE]}"}, BODY),
    }


def forged() -> dict[str, Webhook]:
    """Webhooks that everybody refuses."""
    now = int(time.time())
    headers, rotating = (sign(secrets, "evt_1", now, BODY) for secrets in ([SECRET], [OTHER, SECRET]))
    signature = headers[SIGNATURE]
    return {
        "another secret": (OTHER, headers, BODY),
        "rotation, a third secret": (THIRD, rotating, BODY),
        "another id": (SECRET, {**headers, ID: "evt_2"}, BODY),
        "another timestamp": (SECRET, {**headers, TIMESTAMP: str(now + 1)}, BODY),
        "a byte of the body": (SECRET, headers, BODY.replace(b"job_1", b"job_2")),
        "a blank after the body": (SECRET, headers, BODY + b" "),
        "another signature": (SECRET, {**headers, SIGNATURE: f"v1,{'A' * 43}="}, BODY),
        "a signature cut short": (SECRET, {**headers, SIGNATURE: signature[:-4]}, BODY),
        "no signature of this version": (SECRET, {**headers, SIGNATURE: signature.replace("v1", "v2")}, BODY),
        "no id": (SECRET, {name: value for name, value in headers.items() if name != ID}, BODY),
        "no timestamp": (SECRET, {**headers, TIMESTAMP: ""}, BODY),
        "a timestamp that is none": (SECRET, {**headers, TIMESTAMP: "soon"}, BODY),
        "six minutes ago": (SECRET, sign([SECRET], "evt_1", now - 360, BODY), BODY),
        "six minutes ahead": (SECRET, sign([SECRET], "evt_1", now + 360, BODY), BODY),
    }


def judged(webhooks: Mapping[str, Webhook], judge: Callable[[Iterable[Webhook]], list[Verdict]]) -> dict[str, Verdict]:
    return dict(zip(webhooks, judge(webhooks.values()), strict=True))


def ours(webhooks: Iterable[Webhook]) -> list[Verdict]:
    return [_our_verdict(*webhook) for webhook in webhooks]


def _our_verdict(secret: str, headers: Mapping[str, str], body: bytes) -> Verdict:
    try:
        return verify(secret, headers, body)
    except BadSignature:
        return None


def test_they_verify_what_we_sign_and_so_do_we(peer: Peer) -> None:
    webhooks = genuine()
    events = {name: json.loads(body) for name, (_, _, body) in webhooks.items()}
    assert judged(webhooks, peer.verdicts) == events
    assert judged(webhooks, ours) == events


def test_they_refuse_what_we_refuse(peer: Peer) -> None:
    webhooks = forged()
    assert judged(webhooks, peer.verdicts) == dict.fromkeys(webhooks)
    assert judged(webhooks, ours) == dict.fromkeys(webhooks)


@pytest.mark.parametrize("secret", [SECRET, SHORTEST, LONGEST])
def test_we_verify_what_they_sign(peer: Peer, secret: str) -> None:
    now = int(time.time())
    headers = {ID: "evt_1", TIMESTAMP: str(now), SIGNATURE: peer.signature(secret, "evt_1", now, BODY)}
    assert verify(secret, headers, BODY) == json.loads(BODY)
    assert headers == sign([secret], "evt_1", now, BODY)
    with pytest.raises(BadSignature, match="no signature matches"):
        verify(secret, headers, BODY + b"\n")


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.webhooks.Webhook])
def test_why_we_sign_ourselves(library: Callable[[str], Any]) -> None:
    """The Python libraries take a datetime and read its clock face as UTC, whatever its zone; we take seconds.

    What they sign at noon in Zurich is signed for noon in Greenwich, and nobody verifies it.
    """
    now = int(time.time())
    zurich = datetime.fromtimestamp(now, timezone(timedelta(hours=1)))
    signature = library(SECRET).sign("evt_1", zurich, BODY.decode())
    headers = {ID: "evt_1", TIMESTAMP: str(int(zurich.timestamp())), SIGNATURE: signature}
    with pytest.raises(BadSignature, match="no signature matches"):
        verify(SECRET, headers, BODY)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        library(SECRET).verify(BODY, headers)
    assert signature == sign([SECRET], "evt_1", now + 3600, BODY)[SIGNATURE]


def test_the_lock_pins_each_package_by_its_hash_and_names_no_registry() -> None:
    lock = json.loads((NODE_SIDE.parent / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages.keys() >= {"node_modules/standardwebhooks", "node_modules/svix"}
    assert [name for name, package in packages.items() if "integrity" not in package or "resolved" in package] == []

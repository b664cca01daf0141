"""`coatcheck webhooks listen`: webhooks as they arrive on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coatcheck.client import display
from coatcheck.client.display import say
from coatcheck.client.errors import InvalidArgumentError
from coatcheck.client.text import printable
from coatcheck.clock import milliseconds, rfc3339
from coatcheck.signature import secret_key

if TYPE_CHECKING:
    from coatcheck.client.receiver import Arrival

_VERDICTS = {True: "verified", False: "NOT VERIFIED", None: "not checked (no --secret)"}


def listen(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen, on this machine. 0: any free one.")] = 0,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECRET",
            envvar="COATCHECK_WEBHOOK_SECRET",
            help="Check signatures with this secret of the endpoint; what it does not fit is answered 400 and not "
            "forwarded. Repeatable.",
        ),
    ] = None,
    forward_to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send each on to this URL as it came, and answer with the status from there."),
    ] = None,
    status: Annotated[
        int, typer.Option(min=200, max=599, help="What to answer where nothing is forwarded: try failures with it.")
    ] = 204,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each, with its headers and its body.")
    ] = False,
) -> None:
    """Show webhooks that arrive on this machine, and check their signatures. Ctrl-C ends it."""
    from coatcheck.client.receiver import Receiver  # noqa: PLC0415 - httpx and http.server are slow to import

    _insist_on_secrets(secret or ())
    with Receiver(port, secret or (), forward_to, status) as receiver:
        try:
            unchecked = "" if secret else "; signatures are not checked: no --secret"
            say(f"listening at {receiver.url} until Ctrl-C{unchecked}")
            for arrival in receiver.arrivals():
                if as_json:
                    display.print_json_lines([_document(arrival)])
                else:
                    print(_line(arrival), flush=True)  # noqa: T201 - this is what stdout is for
        except KeyboardInterrupt:
            say("no longer listening")


def _insist_on_secrets(secrets: Sequence[str]) -> None:
    try:
        for secret in secrets:
            secret_key(secret)
    except ValueError as error:
        raise InvalidArgumentError(f"--secret: {error}") from None


def _line(arrival: Arrival) -> str:
    data = arrival.event.get("data")
    job = data.get("id") if isinstance(data, dict) else None
    verdict = _VERDICTS[arrival.verified] + (f": {arrival.reason}" if arrival.reason else "")
    at = time.strftime("%H:%M:%S", time.localtime(arrival.at))
    shown = (at, arrival.event.get("type") or "-", job or "-", arrival.webhook_id or "-", verdict)
    return "  ".join(map(printable, (*shown, f"answered {arrival.answered}")))


def _document(arrival: Arrival) -> dict[str, Any]:
    return {
        "at": rfc3339(milliseconds(arrival.at)),
        "webhook_id": arrival.webhook_id,
        "verified": arrival.verified,
        "reason": arrival.reason,
        "answered": arrival.answered,
        "headers": dict(arrival.headers),
        "body": arrival.event,
    }

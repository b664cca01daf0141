"""`coatcheck webhooks listen`: webhooks as they arrive on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coatcheck.cli import display
from coatcheck.cli.display import print_message
from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.client.text import printable
from coatcheck.core.clock import milliseconds, rfc3339
from coatcheck.core.signature import secret_key

if TYPE_CHECKING:
    from coatcheck.cli.webhook_receiver import ReceivedWebhook

_VERIFICATION = {True: "verified", False: "NOT VERIFIED", None: "not checked (no --secret)"}


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
    from coatcheck.cli.webhook_receiver import WebhookReceiver  # noqa: PLC0415 - httpx and http.server are slow to import

    _check_secrets(secret or ())
    with WebhookReceiver(port, secret or (), forward_to, status) as receiver:
        try:
            unchecked = "" if secret else "; signatures are not checked: no --secret"
            print_message(f"listening at {receiver.url} until Ctrl-C{unchecked}")
            for webhook in receiver.received():
                if as_json:
                    display.print_json_lines([_to_json(webhook)])
                else:
                    print(_to_line(webhook), flush=True)  # noqa: T201 - this is what stdout is for
        except KeyboardInterrupt:
            print_message("no longer listening")


def _check_secrets(secrets: Sequence[str]) -> None:
    try:
        for secret in secrets:
            secret_key(secret)
    except ValueError as error:
        raise InvalidArgumentError(f"--secret: {error}") from None


def _to_line(webhook: ReceivedWebhook) -> str:
    data = webhook.event.get("data")
    job = data.get("id") if isinstance(data, dict) else None
    verification = _VERIFICATION[webhook.verified] + (f": {webhook.reason}" if webhook.reason else "")
    at = time.strftime("%H:%M:%S", time.localtime(webhook.at))
    columns = (at, webhook.event.get("type") or "-", job or "-", webhook.webhook_id or "-", verification)
    return "  ".join(map(printable, (*columns, f"answered {webhook.response_status}")))


def _to_json(webhook: ReceivedWebhook) -> dict[str, Any]:
    return {
        "at": rfc3339(milliseconds(webhook.at)),
        "webhook_id": webhook.webhook_id,
        "verified": webhook.verified,
        "reason": webhook.reason,
        "answered": webhook.response_status,
        "headers": dict(webhook.headers),
        "body": webhook.event,
    }

"""The commands below `coatcheck webhooks`, one function each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coatcheck.cli import display
from coatcheck.cli.display import print_message
from coatcheck.cli.options import ApiKey, Json, Url, connect
from coatcheck.client.exceptions import InvalidArgumentError

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id.")]
ResourceId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or an endpoint's for its tests.")]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", metavar="EVENT", help="Tell of this one, such as job.failed. Repeatable."),
]
Description = Annotated[str | None, typer.Option(metavar="TEXT", help="Shown with the endpoint, for you.")]


def create(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The URL to be called.")],
    *,
    event: Events = None,
    description: Description = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Have events sent to a URL, and print the secret to verify them with.

    The secret is not shown again: keep it.
    """
    with connect(url, api_key) as client:
        _print_secret(client.webhooks.create(target, events=event, description=description), as_json=as_json)


def list_endpoints(*, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List your endpoints, the oldest first."""
    with connect(url, api_key) as client:
        endpoints = client.webhooks.endpoints()
        if as_json:
            display.print_json_lines(endpoints)
        else:
            display.print_endpoints(endpoints)


def show(endpoint: EndpointId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show an endpoint."""
    with connect(url, api_key) as client:
        _print(client.webhooks.endpoint(endpoint), as_json=as_json)


def update(
    endpoint: EndpointId,
    *,
    target: Annotated[str | None, typer.Option(metavar="TARGET", help="Call this URL from now on.")] = None,
    event: Events = None,
    description: Description = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether events are sent; enabling forgives failures.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Change an endpoint: what is not named stays."""
    fields = {"url": target, "events": event or None, "description": description, "enabled": enabled}
    changes = {name: value for name, value in fields.items() if value is not None}
    if not changes:
        raise InvalidArgumentError("nothing to change: give --target, --event, --description, --enable or --disable")
    with connect(url, api_key) as client:
        _print(client.webhooks.update(endpoint, **changes), as_json=as_json)


def delete(endpoint: EndpointId, *, url: Url = None, api_key: ApiKey = None) -> None:
    """Remove an endpoint."""
    with connect(url, api_key) as client:
        client.webhooks.delete(endpoint)
    print_message(f"{endpoint} is deleted")


def rotate_secret(endpoint: EndpointId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Print a new secret for an endpoint.

    Webhooks are signed by the one before as well, for another 24 hours.
    whe_jobs stands for the URLs that jobs bring along: the first time shows its secret, later ones change it.
    """
    with connect(url, api_key) as client:
        _print_secret(client.webhooks.rotate_secret(endpoint), as_json=as_json)


def send_test(endpoint: EndpointId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Send an endpoint the event webhook.test."""
    with connect(url, api_key) as client:
        _report_delivery(client.webhooks.test(endpoint), endpoint, as_json=as_json)


def deliveries(resource_id: ResourceId, *, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show what was sent of a job, with every attempt."""
    with connect(url, api_key) as client:
        sent = client.webhooks.deliveries(resource_id)
        if as_json:
            display.print_json_lines(sent)
        else:
            display.print_deliveries(sent)


def resend(
    resource_id: ResourceId,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id.")],
    *,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Send a delivery again now, under its old webhook-id."""
    with connect(url, api_key) as client:
        _report_delivery(client.webhooks.resend(resource_id, delivery), resource_id, as_json=as_json)


def _print(endpoint: Any, *, as_json: bool) -> None:
    (display.print_json if as_json else display.print_endpoint)(endpoint)


def _print_secret(endpoint: Any, *, as_json: bool) -> None:
    if as_json:
        display.print_json(endpoint)
    else:
        print(endpoint["secret"], flush=True)  # noqa: T201 - what a script captures
        print_message(f"{endpoint['id']} is what this secret belongs to; it is not shown again")


def _report_delivery(delivery: Any, resource_id: str, *, as_json: bool) -> None:
    if as_json:
        display.print_json(delivery)
    else:
        print(delivery["id"], flush=True)  # noqa: T201 - what a script captures
        print_message(f"on its way; look at it: coatcheck webhooks deliveries {resource_id}")

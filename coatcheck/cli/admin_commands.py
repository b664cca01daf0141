"""The commands below `coatcheck admin`, for operators with a key of their own: what they ask, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

import typer

from coatcheck.cli import display
from coatcheck.cli.options import JobId, Json, Url, connect

OperatorKey = Annotated[
    str,
    typer.Option(
        "--operator-key",
        metavar="KEY",
        envvar="COATCHECK_OPERATOR_KEY",
        help="A key made by `coatcheck keys create --operator`.",
    ),
]
Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]
Lane = Annotated[str, typer.Argument(metavar="LANE", help="A lane, or webhooks.")]
MessageId = Annotated[str, typer.Argument(metavar="MESSAGE", help="The message_id of a dead letter.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]

LETTER_FIELDS = ("message_id", "kind", "tenant", "job", "status", "sent_at", "reason")


def tenants(*, operator_key: OperatorKey, url: Url = None) -> None:
    """List the tenants of which jobs are kept."""
    with connect(url, operator_key) as client:
        for one in client.admin.tenants():
            print(one["tenant"])  # noqa: T201 - what a script captures


def jobs(
    *,
    operator_key: OperatorKey,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only this tenant's.")] = None,
    status: Annotated[str | None, typer.Option(metavar="STATUS", help="Only jobs with this status.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only jobs of this type.")] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Those that the sweeper should have looked at by now.")
    ] = False,
    limit: Limit = 100,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List jobs of all tenants, or what is stuck."""
    given = {"tenant": tenant, "status": status, "type": job_type}
    filters = {name: value for name, value in given.items() if value is not None}
    with connect(url, operator_key) as client:
        found = islice(client.admin.stuck_jobs() if stuck else client.admin.jobs(**filters), limit)
        if as_json:
            display.print_json_lines(found)
        else:
            heads = ("tenant", *display.SUMMARY_HEADERS, *(("why",) if stuck else ()))
            display.print_table(
                heads,
                [
                    (one["tenant"], *display.summary_row(one["job"]), *((one.get("reason"),) if stuck else ()))
                    for one in found
                ],
            )


def show(tenant: Tenant, job_id: JobId, *, operator_key: OperatorKey, url: Url = None) -> None:
    """Show a job of a tenant with its history, as JSON."""
    with connect(url, operator_key) as client:
        display.print_json(client.admin.job(tenant, job_id))


def cancel(tenant: Tenant, job_id: JobId, *, operator_key: OperatorKey, url: Url = None) -> None:
    """Stop a job of a tenant."""
    with connect(url, operator_key) as client:
        view = client.admin.cancel(tenant, job_id)["job"]
    display.print_message(f"{view['id']} is {view['status']}")


def queues(*, operator_key: OperatorKey, url: Url = None, as_json: Json = False) -> None:
    """Show how many messages the queues of each lane have."""
    with connect(url, operator_key) as client:
        lanes = client.admin.queues()
        if as_json:
            display.print_json_lines(lanes)
        else:
            display.print_table(("lane", "waiting", "in flight", "delayed", "dead letters"), map(_lane_row, lanes))


def dead_letters(
    lane: Lane, *, operator_key: OperatorKey, limit: Limit = 25, url: Url = None, as_json: Json = False
) -> None:
    """List dead letters of a lane."""
    with connect(url, operator_key) as client:
        letters = client.admin.dead_letters(lane, limit=limit)
        if as_json:
            display.print_json_lines(letters)
        else:
            display.print_table(LETTER_FIELDS, [[one.get(name) for name in LETTER_FIELDS] for one in letters])


def redrive(lane: Lane, message: MessageId, *, operator_key: OperatorKey, url: Url = None) -> None:
    """Wake the job or delivery of a dead letter again."""
    with connect(url, operator_key) as client:
        display.print_message(f"{message}: {client.admin.redrive(lane, message)}")


def discard(lane: Lane, message: MessageId, *, operator_key: OperatorKey, url: Url = None) -> None:
    """Delete a dead letter. Its job is not lost."""
    with connect(url, operator_key) as client:
        client.admin.discard(lane, message)
    display.print_message(f"{message}: discarded")


def _lane_row(lane: Mapping[str, Any]) -> list[object]:
    queue = lane["queue"]
    return [lane["lane"], queue["waiting"], queue["in_flight"], queue["delayed"], lane["dead_letters"]["waiting"]]

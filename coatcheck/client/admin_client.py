"""What operators may do: see all tenants, and act for them. It needs the key of an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from coatcheck.client import responses
from coatcheck.client.operations import JSON_HEADERS, PAGE_SIZE, Request, encode_json, path_segment
from coatcheck.client.webhooks_client import Document, Send

ADMIN = "/v1/admin"


class Admin:
    """The routes of operators. All methods raise what `Client` raises; entries are JSON as the server shows them.

    `send` sends a call, `paginate` reads a list.
    """

    def __init__(self, send: Send, paginate: Callable[[str, str, Mapping[str, str]], Iterator[Document]]) -> None:
        self._send = send
        self._paginate = paginate

    def tenants(self) -> Iterator[Document]:
        """The tenants of which jobs are kept, in no order."""
        return self._paginate("tenant", f"{ADMIN}/tenants", {"limit": str(PAGE_SIZE)})

    def jobs(self, **filters: str) -> Iterator[Document]:
        """Jobs of all tenants, tenant by tenant, the newest of each first, fetched page by page.

        `filters`: `tenant`, `status`, `type`, `created_after`, `created_before`, and `limit`, the size of a page.
        """
        return self._paginate("admin job", f"{ADMIN}/jobs", {"limit": str(PAGE_SIZE), **filters})

    def stuck_jobs(self, **filters: str) -> Iterator[Document]:
        """Jobs that the sweeper should have looked at by now, and why; `overdue` is in seconds."""
        return self._paginate("admin job", f"{ADMIN}/stuck-jobs", {"limit": str(PAGE_SIZE), **filters})

    def job(self, tenant: str, job_id: str) -> Document:
        """A job of a tenant, with its history."""
        return self._send(Request("GET", _job_path(tenant, job_id), _admin_job))

    def cancel(self, tenant: str, job_id: str) -> Document:
        """Stop a job of a tenant; it is canceled, or canceling."""
        return self._send(Request("POST", f"{_job_path(tenant, job_id)}/cancel", _admin_job))

    def limits(self, tenant: str) -> Document:
        """The limits of a tenant, by their names; None is no limit, or the deployment's default."""
        return self._send(Request("GET", _limits_path(tenant), _limits))

    def change_limits(self, tenant: str, **limits: Any) -> Document:
        """Change the limits that are named, None for no limit; returns all. They hold within half a minute."""
        return self._send(_write_limits("PATCH", tenant, limits))

    def set_limits(self, tenant: str, **limits: Any) -> Document:
        """Set all limits of a tenant: those that are not named are none. Returns them."""
        return self._send(_write_limits("PUT", tenant, limits))

    def queues(self) -> Iterator[Document]:
        """The queues of each lane, with how many messages they have."""
        return self._paginate("lane", f"{ADMIN}/queues", {})

    def dead_letters(self, lane: str, *, limit: int = 25) -> Iterator[Document]:
        """Up to `limit` dead letters of a lane (at most 100), with the present state of their jobs."""
        return self._paginate("dead letter", _letters_path(lane), {"limit": str(limit)})

    def redrive(self, lane: str, message_id: str) -> str:
        """Wake the job or delivery of a dead letter: `redriven`, `discarded` if that is finished, else `left`."""
        path = f"{_letters_path(lane)}/{path_segment(message_id)}/redrive"
        return self._send(Request("POST", path, lambda response: str(responses.document(response)["outcome"])))

    def discard(self, lane: str, message_id: str) -> None:
        """Delete a dead letter, whatever it is."""
        self._send(Request("DELETE", f"{_letters_path(lane)}/{path_segment(message_id)}", responses.nothing))


_admin_job = partial(responses.document, schema="admin job")
_limits = partial(responses.document, schema="tenant")


def _job_path(tenant: str, job_id: str) -> str:
    return f"{ADMIN}/tenants/{path_segment(tenant)}/jobs/{path_segment(job_id)}"


def _write_limits(method: str, tenant: str, limits: Mapping[str, Any]) -> Request[Document]:
    return Request(method, _limits_path(tenant), _limits, headers=JSON_HEADERS, body=encode_json(limits))


def _limits_path(tenant: str) -> str:
    return f"{ADMIN}/tenants/{path_segment(tenant)}/limits"


def _letters_path(lane: str) -> str:
    return f"{ADMIN}/queues/{path_segment(lane)}/dead-letters"

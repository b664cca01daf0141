"""The operations of the API, from its OpenAPI document, and what each of their parameters names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PUBLIC = frozenset({"health", "problem"})
"""Need no credentials, and know nothing of any tenant."""

NOT_OWNED: Mapping[tuple[str, str], str] = {("get_job_type", "name"): "demo.sleep", ("problem", "code"): "not-found"}
"""The parameters in paths that name what is everybody's, with a value that there is."""

NAME_NOTHING = frozenset(
    {
        "tenant",
        "overdue",
        "status",
        "type",
        "created_after",
        "created_before",
        "limit",
        "link",
        "Prefer",
        "If-None-Match",
        "Range",
        "If-Range",
    }
)
"""The parameters outside of paths that choose among what is the caller's, or say how to answer."""

POSITIONS = frozenset(
    {
        # a number within the history of a job that the path names
        ("list_events", "after"),
        ("list_events", "Last-Event-ID"),
        # a number of a part of the upload that the path names
        ("list_upload_parts", "after"),
        # a time
        ("list_tenant_events", "after"),
        ("list_tenant_events", "Last-Event-ID"),
        # a name of a job type, which are everybody's
        ("list_job_types", "after"),
    }
)
"""The parameters outside of paths that hold a number, or a name of what is everybody's: no id can be in them."""

REFERENCES = frozenset(
    {
        ("list_jobs", "after"),
        # sealed with the operator's own key: tests/aws/service/test_admin.py
        ("admin_list_jobs", "after"),
        ("admin_list_stuck_jobs", "after"),
        ("admin_list_tenants", "after"),
        ("list_deliveries", "after"),
        ("list_test_deliveries", "after"),
        ("submit", "Idempotency-Key"),
        ("replay_job", "Idempotency-Key"),
    }
)
"""The parameters outside of paths that can hold what belongs to a tenant: each has a test of its own."""

BODIES: Mapping[str, Any] = {
    "submit": {"type": "demo.sleep", "input": {"seconds": 0}},
    "create_upload": {"filename": "a.csv", "size": 1},
    "complete_upload": {},
    "create_webhook_endpoint": {"url": "https://example.com/hook"},
    "change_webhook_endpoint": {"description": "changed"},
    "admin_set_limits": {},
    "admin_change_limits": {},
}
"""A body that is in order, for each operation that takes one."""


@dataclass(frozen=True)
class Operation:
    """One method of one path. `path_parameters` are those that name what belongs to a tenant."""

    id: str
    method: str
    path: str
    scope: str | None
    path_parameters: frozenset[str]
    parameters: frozenset[str]
    has_body: bool

    @property
    def for_operators(self) -> bool:
        """Whether no credentials of any tenant open it."""
        return self.path.startswith("/v1/admin/")

    @property
    def title(self) -> str:
        """What it is called in a table."""
        return f"{self.method} {self.path}"

    def url(self, names: Mapping[str, str]) -> str:
        """The path with these names in it."""
        known = {name: value for (operation, name), value in NOT_OWNED.items() if operation == self.id}
        return self.path.format_map({**known, **names})

    @property
    def body(self) -> Any:
        """A body that is in order, or None."""
        return BODIES[self.id] if self.has_body else None


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """Return every operation of an OpenAPI document."""
    return [
        _operation(method, path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]


def _operation(method: str, path: str, described: Mapping[str, Any]) -> Operation:
    parameters = described.get("parameters", [])
    in_path = {one["name"] for one in parameters if one["in"] == "path"}
    not_owned = {name for operation, name in NOT_OWNED if operation == described["operationId"]}
    scopes = [scope for one in described.get("security", []) for names in one.values() for scope in names]
    return Operation(
        described["operationId"],
        method.upper(),
        path,
        scopes[0] if scopes else None,
        frozenset(in_path - not_owned),
        frozenset(one["name"] for one in parameters if one["in"] != "path"),
        "requestBody" in described,
    )

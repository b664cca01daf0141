"""The keys of the single table. The tenant is part of every key, so no key leads to another tenant's job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

AttributeValue: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, AttributeValue]

JOB = "job"
UPLOAD = "upload"
DUE_INDEX = "due"
TENANT_INDEX = "by_tenant"


@dataclass(frozen=True, slots=True)
class JobKey:
    """Names one job."""

    tenant: str
    id: str

    @property
    def partition(self) -> str:
        """The partition key of everything that belongs to the job."""
        return f"{self.tenant}#{self.id}"

    def item(self, sort: str = JOB) -> Item:
        """The primary key of the job's row, or of another item of its partition."""
        return {"pk": {"S": self.partition}, "sk": {"S": sort}}

    @classmethod
    def of(cls, item: Item) -> JobKey:
        """The job that an item or an index entry belongs to."""
        tenant, job_id = item["pk"]["S"].split("#")
        return cls(tenant, job_id)


def history_page(created_at: int, first: int) -> str:
    """The sort key of a page of history that starts with event number `first`.

    The key identifies the job by its creation time, since an id may be used again when its job is gone.
    """
    return f"history#{created_at:013d}#{first:06d}"


def artifacts(created_at: int, attempt: int) -> str:
    """The sort key of the list of artifacts that an attempt made."""
    return f"artifacts#{created_at:013d}#{attempt:06d}"


_PURGED = "purged"


def purged(created_at: int) -> str:
    """The sort key of the mark that a job was deleted by its owner."""
    return f"{_PURGED}#{created_at:013d}"


def job_created_at(item: Item) -> int | None:
    """The creation time of the job for which an item of its partition was written.

    None for the job's own row, and for the mark that stays when everything else is deleted.
    """
    kind, *parts = item["sk"]["S"].split("#")
    return int(parts[0]) if parts and kind != _PURGED else None

"""What operators are shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coatcheck.core.api.base_models import ResponseModel, Timestamp
from coatcheck.core.api.models import EventView, JobView


class TenantView(ResponseModel):
    """A tenant of which jobs are kept."""

    tenant: str


class AdminJobView(ResponseModel):
    """A job of any tenant, without its input and its result."""

    tenant: str
    lane: str
    due_at: Timestamp | None = Field(
        description="when the sweeper looks at it next; null for a parked job that does not expire"
    )
    lease_until: Timestamp | None = Field(description="until when its worker counts as alive without a heartbeat")
    job: JobView = Field(description="as its tenant sees it, without its artifacts; `urls` need a key of the tenant")


class AdminJobDetail(AdminJobView):
    """A job of any tenant, with its history."""

    events: list[EventView]


StuckReason = Literal["not-started", "lease-expired", "not-notified", "not-woken"]


class StuckJobView(AdminJobView):
    """A job that the sweeper should have looked at by now."""

    reason: StuckReason = Field(
        description="`not-started`: it waits, and no worker took it; `lease-expired`: its worker is gone;"
        " `not-notified`: it has ended, and its webhooks are not on their way; `not-woken`: it is one of its"
        " tenant's parked jobs, and the sweeper has not looked whether they may run"
    )
    overdue_seconds: int


class QueueView(ResponseModel):
    """About how many messages a queue has, as SQS counts them."""

    waiting: int = Field(description="that can be received now")
    in_flight: int = Field(description="that are being worked on, or hidden until a retry")
    delayed: int = Field(description="that cannot be received yet")


class LaneView(ResponseModel):
    """The queues of a lane."""

    lane: str
    queue: QueueView
    dead_letters: QueueView


class DeadLetterView(ResponseModel):
    """A message that no worker could finish, and what it is about now."""

    lane: str
    message_id: str
    sent_at: Timestamp
    receives: int = Field(description="how often it was received, by this list too")
    reason: str | None = Field(description="why it was put aside; null where SQS did")
    kind: str = Field(
        description="`unfinished`, `finished`, `not there`, `newer version`, `newer message` or `cannot be read`"
    )
    tenant: str | None
    job: str | None = Field(description="the job's id, or that of the endpoint whose test it is about")
    delivery: str | None
    status: str | None = Field(description="of the job, or of the delivery if it is about one")
    body: str | None = Field(description="the first 200 printable characters of what cannot be read")


class RedriveView(ResponseModel):
    """What was done with a dead letter."""

    outcome: Literal["redriven", "discarded", "left"] = Field(
        description="`discarded`: its job or delivery is finished; `left`: it cannot be read, or its row is not there"
    )

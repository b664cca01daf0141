"""Operators: the queues of the lanes, and their dead letters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.admin_models import DeadLetterView, LaneView, RedriveView
from coatcheck.core.api.models import Listing
from coatcheck.core.errors import InvalidRequest, NotFound
from coatcheck_service.actions.admin_queues import (
    MAX_LOOKED_AT,
    discard,
    get_dead_letter,
    list_dead_letters,
    list_lanes,
    redrive,
)
from coatcheck_service.http.openapi import problem_docs, response_doc
from coatcheck_service.http.operators import Operator

router = APIRouter(prefix="/v1/admin", tags=["admin"])

Lane = Annotated[str, Path(max_length=64, description="a lane's name, or `webhooks`", examples=["default"])]
MessageId = Annotated[str, Path(max_length=100, description="a dead letter's `message_id`")]


class DeadLetterQuery(BaseModel):
    """How many dead letters to look at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=25, ge=1, le=MAX_LOOKED_AT, description="dead letters, at most")


@router.get("/queues", operation_id="admin_list_queues", responses=problem_docs())
async def get_queues(context: Operator) -> Listing[LaneView]:
    """List the queues of the lanes, with how many messages each has."""
    return Listing(data=await list_lanes(context.dependencies), next=None)


@router.get(
    "/queues/{lane}/dead-letters",
    operation_id="admin_list_dead_letters",
    responses=problem_docs(InvalidRequest, NotFound),
)
async def get_dead_letters(
    context: Operator, lane: Lane, query: Annotated[DeadLetterQuery, Query()]
) -> Listing[DeadLetterView]:
    """List dead letters of a lane: those that SQS gives first. Others do not get them while this lasts."""
    return Listing(data=await list_dead_letters(context.dependencies, lane, query.limit), next=None)


@router.get(
    "/queues/{lane}/dead-letters/{message_id}",
    operation_id="admin_get_dead_letter",
    responses=problem_docs(InvalidRequest, NotFound),
)
async def get_one(context: Operator, lane: Lane, message_id: MessageId) -> DeadLetterView:
    """Look at a dead letter, if it is among the first hundred."""
    return await get_dead_letter(context.dependencies, lane, message_id)


@router.post(
    "/queues/{lane}/dead-letters/{message_id}/redrive",
    operation_id="admin_redrive_dead_letter",
    responses=problem_docs(InvalidRequest, NotFound),
)
async def redrive_one(context: Operator, lane: Lane, message_id: MessageId) -> RedriveView:
    """Wake the job or the delivery of a dead letter again; delete the dead letter, also if they are finished."""
    return await redrive(context.dependencies, lane, message_id)


@router.delete(
    "/queues/{lane}/dead-letters/{message_id}",
    operation_id="admin_discard_dead_letter",
    status_code=204,
    responses=response_doc(204, "It is deleted.") | problem_docs(InvalidRequest, NotFound),
)
async def discard_one(context: Operator, lane: Lane, message_id: MessageId) -> Response:
    """Delete a dead letter, whatever it is. Its job is not lost: it is in the table."""
    await discard(context.dependencies, lane, message_id)
    return Response(status_code=204)

"""What tells of the service itself; open to everyone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from fastapi import APIRouter

from coatcheck.core.errors import JOB_ERRORS, SERVICE_ERRORS, JobErrorKind, NotFound, ServiceError
from coatcheck.core.suggestions import unknown
from coatcheck_service.http.openapi import Health, ProblemKind, public_problem_docs

router = APIRouter(tags=["service"])

_Kind: TypeAlias = type[ServiceError] | JobErrorKind
_KINDS: Mapping[str, _Kind] = {error.code: error for error in SERVICE_ERRORS} | {kind.code: kind for kind in JOB_ERRORS}


@router.get("/v1/health", operation_id="health")
async def health() -> Health:
    """Whether the service answers."""
    return Health(status="ok")


@router.get("/problems/{code}", operation_id="problem", responses=public_problem_docs(NotFound))
async def problem(code: str) -> ProblemKind:
    """What a kind of error means, and what to do about it: where every problem's `type` leads."""
    kind = _KINDS.get(code)
    if kind is None:
        raise NotFound(unknown("problem code", code, _KINDS, see="see /docs"))
    return ProblemKind(code=kind.code, title=kind.title, advice=kind.advice, retryable=kind.retryable)

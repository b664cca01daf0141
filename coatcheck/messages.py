"""What travels in SQS: only which job to look at. The row says everything else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class BadMessage(Exception):
    """A message that nobody can read, whoever sent it."""


class JobMessage(BaseModel):
    """Wake up for this job. May be lost, doubled, late or out of order: the claim on the row decides."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    job: Annotated[str, Field(pattern=r"^job_[A-Za-z0-9_-]{1,60}$")]

    @classmethod
    def parse(cls, body: str) -> JobMessage:
        """The message in an SQS body. Raises BadMessage, with what is wrong but not the body."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:3])
            raise BadMessage(wrong) from None

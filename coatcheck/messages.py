"""What travels in SQS: only which job to look at. The row says everything else."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class BadMessage(Exception):
    """A message that nobody can read, whoever sent it."""


class NewerMessage(Exception):
    """A message of a version that this one does not know: newer workers do."""


VERSION: Final = 1


class _Versioned(BaseModel):
    """What messages of all versions have."""

    v: Annotated[int, Field(ge=1)] = VERSION


class JobMessage(BaseModel):
    """Wake up for this job. May be lost, doubled, late or out of order: the claim on the row decides."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = VERSION
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    job: Annotated[str, Field(pattern=r"^job_[A-Za-z0-9_-]{1,60}$")]

    @classmethod
    def parse(cls, body: str) -> JobMessage:
        """The message in an SQS body. Raises NewerMessage, and BadMessage with what is wrong but not the body."""
        try:
            if (version := _Versioned.model_validate_json(body).v) > VERSION:
                raise NewerMessage(f"it is of version {version}, not {VERSION}")
            return cls.model_validate_json(body)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:3])
            raise BadMessage(wrong) from None

"""The messages in SQS. Each only names the job or the delivery to process; the row holds everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from coatcheck.core.deferred_model import DeferredModel
from coatcheck.core.ids import TENANT_PATTERN, id_pattern


class BadMessage(Exception):
    """A message that nobody can read, whoever sent it."""


class NewerMessage(Exception):
    """A message of a version that this one does not know but newer workers do."""


VERSION: Final = 1


class _Versioned(DeferredModel):
    """The fields that messages of all versions have."""

    v: Annotated[int, Field(ge=1)] = VERSION


Tenant = Annotated[str, Field(pattern=TENANT_PATTERN)]


def _version(body: str) -> int:
    """The version of a message that this one does not understand; 0 if it has none."""
    try:
        return _Versioned.model_validate_json(body).v
    except ValidationError:
        return 0


class _Message(DeferredModel):
    """May be lost, duplicated, late or out of order: a conditional write on the row decides."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = VERSION
    tenant: Tenant

    @classmethod
    def parse(cls, body: str) -> Self:
        """The message in an SQS body. Raises NewerMessage, and BadMessage with what is wrong but not the body."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            if (version := _version(body)) > VERSION:
                raise NewerMessage(f"it is of version {version}, not {VERSION}") from None
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:3])
            raise BadMessage(wrong) from None


class JobMessage(_Message):
    """Names a job to run or, in the lane of webhooks, a job whose events are to be notified."""

    job: Annotated[str, Field(pattern=id_pattern("job"))]


class DeliveryMessage(_Message):
    """Names a delivery to attempt. `of` and `made` are as in `DeliveryKey`; the number per `endpoint` is bounded."""

    of: Annotated[str, Field(pattern=id_pattern("job", "whe"))]
    made: Annotated[int, Field(ge=0, lt=10**13)]
    delivery: Annotated[str, Field(pattern=id_pattern("dlv"))]
    endpoint: Annotated[str, Field(pattern=id_pattern("whe"))]


def parse_webhook_message(body: str) -> DeliveryMessage | JobMessage:
    """The message in a body of lane `webhooks`. Raises BadMessage and NewerMessage."""
    try:
        return DeliveryMessage.parse(body)
    except BadMessage:
        return JobMessage.parse(body)


class _Subject(DeferredModel):
    """What a message may name, as far as it can be read."""

    tenant: Annotated[str, Field(max_length=64)] | None = None
    job: Annotated[str, Field(max_length=64)] | None = None
    of: Annotated[str, Field(max_length=64)] | None = None
    delivery: Annotated[str, Field(max_length=64)] | None = None


def subject(body: str) -> Mapping[str, str | None]:
    """What a message is about, for the log: tenant, job, and a delivery with what it is `of`. Any may be None."""
    try:
        return _Subject.model_validate_json(body).model_dump()
    except ValidationError:
        return {}

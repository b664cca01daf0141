"""The job type `coatcheck.ping`: shows that jobs run, whatever else a deployment serves."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from coatcheck.authoring.context import Context
from coatcheck.authoring.types import job


class Ping(BaseModel):
    """Takes no fields."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


@job("coatcheck.ping", timeout=30)
def ping(params: Ping, ctx: Context) -> None:
    """Do nothing."""

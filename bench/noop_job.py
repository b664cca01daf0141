"""A job that does nothing."""

from pydantic import BaseModel

from coatcheck import Context, job


class Nothing(BaseModel):
    """What it takes and gives."""


@job("bench.noop")
def noop(given: Nothing, _: Context) -> Nothing:
    """Do nothing."""
    return given

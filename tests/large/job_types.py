"""The job types of the large files: one makes bytes, the other reads them."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog
from coatcheck.authoring.types import job, minutes
from coatcheck.authoring.upload import Upload
from jobs.demo import make_bytes

CHUNK = 1024 * 1024


class ReadInput(BaseModel):
    """A file that the client has sent."""

    file: Upload


class ReadResult(BaseModel):
    """What was read of it."""

    size: int
    sha256: str


@job("large.read", timeout=minutes(30), max_attempts=1)
def read_upload(given: ReadInput, ctx: Context) -> ReadResult:
    """Read a file from its start to its end, as a stream."""
    digest, size = hashlib.sha256(), 0
    with ctx.open_input(given.file) as file:
        while chunk := file.read(CHUNK):
            ctx.check()
            digest.update(chunk)
            size += len(chunk)
    return ReadResult(size=size, sha256=digest.hexdigest())


CATALOG = catalog(make_bytes, read_upload)

"""The job types of the large files: one makes bytes, the other reads them."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel

from coatcheck.context import Context
from coatcheck.types import JobType, Upload, catalog, handlers, handles, minutes
from jobs.catalog import BYTES
from jobs.demo import make_bytes

CHUNK = 1024 * 1024


class Given(BaseModel):
    """A file that the client has sent."""

    file: Upload


class Read(BaseModel):
    """What was read of it."""

    size: int
    sha256: str


READ = JobType("large.read", Given, Read, timeout=minutes(30), max_attempts=1)
CATALOG = catalog(BYTES, READ)


@handles(READ)
def read(given: Given, ctx: Context) -> Read:
    """Read a file from its start to its end, as a stream."""
    digest, size = hashlib.sha256(), 0
    with ctx.open_input(given.file) as file:
        while chunk := file.read(CHUNK):
            ctx.check()
            digest.update(chunk)
            size += len(chunk)
    return Read(size=size, sha256=digest.hexdigest())


HANDLERS = handlers(make_bytes, read)

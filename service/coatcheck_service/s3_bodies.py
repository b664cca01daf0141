"""The bodies of objects in S3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from botocore.exceptions import BotoCoreError

from coatcheck.core.errors import Unavailable


async def chunks(s3_body: Any, size: int) -> AsyncIterator[bytes]:
    """Yield the object of `s3.get` in pieces of at most `size` bytes, then close it. Raises Unavailable."""
    try:
        async with s3_body:
            async for chunk in s3_body.iter_chunks(size):
                yield chunk
    except (BotoCoreError, OSError, TimeoutError) as error:
        raise Unavailable("A data store broke off its answer: try again.") from error

"""Multipart uploads: which parts have arrived, where to send the others, and how they become one object.

S3's own list of the parts is the state: nothing is written while they arrive, and a client that crashed asks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from coatcheck.core.api.models import PartsPage, PartView, SentPart
from coatcheck.core.aws import s3, s3_keys, s3_multipart
from coatcheck.core.aws.dynamodb.upload_items import Multipart, UploadRecord
from coatcheck.core.aws.s3_multipart import UploadedPart
from coatcheck.core.clock import SECOND, rfc3339
from coatcheck.core.errors import FieldError, NotMultipart, TooManyUploads, UploadIncomplete
from coatcheck.core.part_plan import PartPlan
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import MAX_FIELD_ERRORS

PARTS_PER_PAGE = 100
"""Parts for which one response has signed URLs."""

MAX_OPEN_UPLOADS = 100
"""Unfinished multipart uploads that a tenant may have. S3 keeps, and bills, the parts that were sent."""

PartsByNumber = Mapping[int, UploadedPart]
"""The parts that S3 has, by part number."""


async def check_open_uploads(context: RequestContext) -> None:
    """Raises TooManyUploads when the caller has as many unfinished uploads as it may have."""
    dependencies = context.dependencies
    # S3's list is the count: it cannot drift from what is there, as a counter could
    unfinished = await dependencies.transport.send(
        s3.list_multipart_uploads(dependencies.bucket, s3_keys.upload_key(context.tenant, ""))
    )
    if len(unfinished) >= MAX_OPEN_UPLOADS:
        raise TooManyUploads(f"{MAX_OPEN_UPLOADS} multipart uploads are unfinished, the most that a tenant may have.")


async def initiate_upload(context: RequestContext, upload: UploadRecord) -> Multipart:
    """Start a multipart upload in S3."""
    dependencies, key = context.dependencies, s3_keys.upload_key(upload.tenant, upload.id)
    started = s3_multipart.start(dependencies.bucket, key, content_type=upload.content_type, sha256=upload.sha256)
    return Multipart(await dependencies.transport.send(started), PartPlan.of(upload.size).part_size)


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """A multipart upload of the caller."""

    context: RequestContext
    id: str
    key: str
    multipart_id: str
    parts: PartPlan

    @classmethod
    def of(cls, context: RequestContext, upload: UploadRecord) -> MultipartUpload:
        """Raises NotMultipart for an upload that is sent whole."""
        if upload.multipart is None:
            raise NotMultipart(f"{upload.id} is sent in one request: there is nothing to complete.")
        parts = PartPlan(upload.size, upload.multipart.part_size)
        return cls(context, upload.id, s3_keys.upload_key(upload.tenant, upload.id), upload.multipart.id, parts)

    async def uploaded_parts(self, after: int = 0) -> PartsByNumber | None:
        """Return the parts after number `after` that S3 has; None when the upload was completed or aborted."""
        dependencies, found = self.context.dependencies, dict[int, UploadedPart]()
        while True:
            page = await dependencies.transport.send(
                s3_multipart.list_parts(dependencies.bucket, self.key, self.multipart_id, after=after)
            )
            if page is None:
                return None
            found |= {part.number: part for part in page.parts}
            if not page.more:
                return found
            after = page.parts[-1].number

    async def page(self, uploaded_parts: PartsByNumber, after: int = 0) -> PartsPage:
        """Return where to send the first parts after number `after` that have not arrived."""
        dependencies, numbers = (
            self.context.dependencies,
            list(islice(self._missing(uploaded_parts, after), PARTS_PER_PAGE + 1)),
        )
        views, now, valid_seconds = [], dependencies.clock(), s3.UPLOAD_URL_SECONDS
        for number in numbers[:PARTS_PER_PAGE]:
            length = self.parts.length(number)
            link = s3_multipart.presign_part(
                dependencies.bucket, self.key, self.multipart_id, number=number, length=length
            )
            signed = await dependencies.transport.presign(link)
            views.append(PartView(number=number, url=signed.url))
            valid_seconds = min(valid_seconds, signed.seconds)
        return PartsPage(
            parts=views,
            next_parts=self._url(after=views[-1].number) if len(numbers) > PARTS_PER_PAGE else None,
            expires_at=rfc3339(now + valid_seconds * SECOND),
        )

    async def complete(self, uploaded_parts: PartsByNumber, client_parts: Sequence[SentPart] | None) -> bool:
        """Make one object of the parts.

        Returns False when the parts have changed or are gone, or when the object was made already.
        `client_parts` is the client's own list of the parts, if it has sent one. Raises UploadIncomplete.
        """
        errors = list(
            islice(
                chain(self._missing_errors(uploaded_parts), self._mismatches(uploaded_parts, client_parts)),
                MAX_FIELD_ERRORS,
            )
        )
        if errors:
            more = ", and more" if len(errors) > 1 else ""
            raise UploadIncomplete(f"{errors[0].pointer}: {errors[0].detail}{more}.", field_errors=errors)
        dependencies, listed = self.context.dependencies, [uploaded_parts[number] for number in self._numbers()]
        return await dependencies.transport.send(
            s3_multipart.complete(dependencies.bucket, self.key, self.multipart_id, listed)
        )

    def _numbers(self, after: int = 0) -> range:
        return range(after + 1, self.parts.count + 1)

    def _missing(self, uploaded_parts: PartsByNumber, after: int = 0) -> Iterator[int]:
        for number in self._numbers(after):
            if number not in uploaded_parts or uploaded_parts[number].size != self.parts.length(number):
                yield number

    def _missing_errors(self, uploaded_parts: PartsByNumber) -> Iterator[FieldError]:
        for number in self._missing(uploaded_parts):
            actual = f"has {uploaded_parts[number].size}" if number in uploaded_parts else "was not sent"
            yield FieldError("/parts", f"part {number}, of {self.parts.length(number)} bytes, {actual}")

    def _mismatches(
        self, uploaded_parts: PartsByNumber, client_parts: Sequence[SentPart] | None
    ) -> Iterator[FieldError]:
        if client_parts is None:
            return
        seen: set[int] = set()
        for index, part in enumerate(client_parts):
            if part.number > self.parts.count:
                yield FieldError(f"/parts/{index}/number", f"is more than {self.parts.count}, the last part")
            elif part.number in seen:
                yield FieldError(f"/parts/{index}/number", f"names part {part.number} twice")
            elif part.number in uploaded_parts and uploaded_parts[part.number].etag != part.etag.strip('"'):
                yield FieldError(f"/parts/{index}/etag", f"is not the ETag of part {part.number} as it arrived")
            seen.add(part.number)
        for number in self._numbers():
            if number not in seen:
                yield FieldError("/parts", f"part {number} is missing from the list")

    def _url(self, *, after: int) -> str:
        return f"{self.context.base_url}/v1/uploads/{self.id}/parts?after={after}"

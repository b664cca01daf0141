"""An upload that a client sends in parts: which have arrived, where to send the others, and making one object of them.

S3's own list of the parts is the state: nothing is written while they arrive, and a client that died asks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from coatcheck import blobs, multipart
from coatcheck.clock import SECOND, rfc3339
from coatcheck.errors import Flaw, NotMultipart, TooManyUploads, UploadIncomplete
from coatcheck.multipart import Part
from coatcheck.parts import Parts
from coatcheck.table.uploads import Multipart, UploadRecord
from coatcheck.wire import PartsPage, PartView, SentPart
from service.caller import Caller
from service.flaws import MOST

PAGE = 100
"""Parts that are signed at once."""

MOST_OPEN = 100
"""Uploads in parts that a tenant may have begun and not completed. S3 keeps, and bills, what was sent of them."""

Arrived = Mapping[int, Part]
"""The parts that S3 has, by their numbers."""


async def check_open(caller: Caller) -> None:
    """Raises TooManyUploads when the caller has begun as many as it may."""
    tools = caller.tools
    # S3's list is the count: it cannot drift from what is there, as a counter could
    unfinished = await tools.aws.send(blobs.unfinished_under(tools.bucket, blobs.upload_key(caller.tenant, "")))
    if len(unfinished) >= MOST_OPEN:
        raise TooManyUploads(f"{MOST_OPEN} uploads in parts are not completed.")


async def begin(caller: Caller, upload: UploadRecord) -> Multipart:
    """Let S3 expect parts of this upload."""
    tools, key = caller.tools, blobs.upload_key(upload.tenant, upload.id)
    started = multipart.start(tools.bucket, key, content_type=upload.content_type, sha256=upload.sha256)
    return Multipart(await tools.aws.send(started), Parts.of(upload.size).each)


@dataclass(frozen=True, slots=True)
class InParts:
    """An upload of the caller's, in parts."""

    caller: Caller
    id: str
    key: str
    multipart_id: str
    parts: Parts

    @classmethod
    def of(cls, caller: Caller, upload: UploadRecord) -> InParts:
        """Raises NotMultipart for an upload that is sent whole."""
        if upload.multipart is None:
            raise NotMultipart("The upload is sent whole.")
        parts = Parts(upload.size, upload.multipart.part_size)
        return cls(caller, upload.id, blobs.upload_key(upload.tenant, upload.id), upload.multipart.id, parts)

    async def arrived(self, after: int = 0) -> Arrived | None:
        """The parts behind number `after` that S3 has; None when it was completed or thrown away."""
        tools, found = self.caller.tools, dict[int, Part]()
        while True:
            page = await tools.aws.send(multipart.arrived(tools.bucket, self.key, self.multipart_id, after=after))
            if page is None:
                return None
            found |= {part.number: part for part in page.parts}
            if not page.more:
                return found
            after = page.parts[-1].number

    async def page(self, arrived: Arrived, after: int = 0) -> PartsPage:
        """Where to send the first parts behind number `after` that have not arrived."""
        tools, numbers = self.caller.tools, list(islice(self._missing(arrived, after), PAGE + 1))
        views, now, lasting = [], tools.clock(), blobs.UPLOAD_LINK_SECONDS
        for number in numbers[:PAGE]:
            length = self.parts.length(number)
            link = multipart.link(tools.bucket, self.key, self.multipart_id, number=number, length=length)
            signed = await tools.aws.presign(link)
            views.append(PartView(number=number, url=signed.url))
            lasting = min(lasting, signed.seconds)
        return PartsPage(
            parts=views,
            next_parts=self._url(after=views[-1].number) if len(numbers) > PAGE else None,
            expires_at=rfc3339(now + lasting * SECOND),
        )

    async def complete(self, arrived: Arrived, told: Sequence[SentPart] | None) -> bool:
        """Make one object of the parts. False when they are no longer there as they were, or it was made already.

        `told` is the client's own list of them, if it has sent one. Raises UploadIncomplete.
        """
        wrong = list(islice(chain(self._gaps(arrived), self._contradictions(arrived, told)), MOST))
        if wrong:
            more = ", and more" if len(wrong) > 1 else ""
            raise UploadIncomplete(f"{wrong[0].pointer}: {wrong[0].detail}{more}.", flaws=wrong)
        tools, listed = self.caller.tools, [arrived[number] for number in self._numbers()]
        return await tools.aws.send(multipart.complete(tools.bucket, self.key, self.multipart_id, listed))

    def _numbers(self, after: int = 0) -> range:
        return range(after + 1, self.parts.count + 1)

    def _missing(self, arrived: Arrived, after: int = 0) -> Iterator[int]:
        for number in self._numbers(after):
            if number not in arrived or arrived[number].size != self.parts.length(number):
                yield number

    def _gaps(self, arrived: Arrived) -> Iterator[Flaw]:
        for number in self._missing(arrived):
            came = f"has {arrived[number].size}" if number in arrived else "was not sent"
            yield Flaw("/parts", f"part {number}, of {self.parts.length(number)} bytes, {came}")

    def _contradictions(self, arrived: Arrived, told: Sequence[SentPart] | None) -> Iterator[Flaw]:
        if told is None:
            return
        named: set[int] = set()
        for index, part in enumerate(told):
            if part.number > self.parts.count:
                yield Flaw(f"/parts/{index}/number", f"is above {self.parts.count}, the last part")
            elif part.number in named:
                yield Flaw(f"/parts/{index}/number", f"names part {part.number} twice")
            elif part.number in arrived and arrived[part.number].etag != part.etag.strip('"'):
                yield Flaw(f"/parts/{index}/etag", f"is not that of part {part.number} as it arrived")
            named.add(part.number)
        for number in self._numbers():
            if number not in named:
                yield Flaw("/parts", f"part {number} is not named")

    def _url(self, *, after: int) -> str:
        return f"{self.caller.base_url}/v1/uploads/{self.id}/parts?after={after}"

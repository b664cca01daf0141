"""A client that sends a file in parts, each of a few bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from coatcheck import blobs
from coatcheck.calls import Call
from coatcheck.errors import UploadIncomplete
from coatcheck.ids import make_id
from coatcheck.parts import Parts
from coatcheck.table import uploads as table
from coatcheck.table.uploads import Multipart, UploadRecord
from coatcheck.wire import SubmitRequest
from service import uploads
from service.caller import Caller
from service.in_parts import begin
from service.inputs import UPLOAD_LIFE
from tests.simulation.asking import driven, insist
from tests.simulation.world import World

T = TypeVar("T")

PART = 4


def with_upload(asked: SubmitRequest, upload_id: str) -> SubmitRequest:
    """The request for a job that works on an upload."""
    return asked.model_copy(update={"input": {**asked.input, "file": {"$upload": upload_id}}})


def send_in_parts(world: World, caller: Caller, body: bytes) -> str:
    """Send all parts and complete the upload; answers its id."""
    upload = _insist(world, lambda: _announce(caller, body))
    assert upload.multipart is not None
    parts = Parts(upload.size, upload.multipart.part_size)
    for number in range(1, parts.count + 1):
        part = body[parts.start(number) :][: parts.length(number)]
        _insist(world, partial(_put, caller, upload, number, part))
    try:
        view = _insist(world, lambda: driven(uploads.complete(caller, upload, None)))
    except UploadIncomplete as error:
        world.checks.flaw(f"all of {upload.id} was sent, and is not taken: {error}")
        raise
    stored = world.model.bucket.objects.get(blobs.upload_key(upload.tenant, upload.id))
    if not view.complete or stored is None or stored.body != body:
        world.checks.flaw(f"{upload.id} was completed and is not what was sent")
    return upload.id


def _announce(caller: Caller, body: bytes) -> UploadRecord:
    """What `uploads.announce` does, for a file that is too small to be worth parts."""
    tools = caller.tools
    upload = UploadRecord(
        caller.tenant,
        make_id("upl", tools.entropy(16)),
        "file",
        "text/plain",
        len(body),
        None,
        tools.clock() + UPLOAD_LIFE,
    )
    upload = replace(upload, multipart=Multipart(driven(begin(caller, upload)).id, PART))
    driven(tools.aws.send(table.put_upload(tools.table, upload)))
    return upload


def _put(caller: Caller, upload: UploadRecord, number: int, body: bytes) -> None:
    assert upload.multipart is not None
    params = {
        "Bucket": caller.tools.bucket,
        "Key": blobs.upload_key(upload.tenant, upload.id),
        "UploadId": upload.multipart.id,
        "PartNumber": number,
        "Body": body,
    }
    # one that comes twice may come when all is done
    late = dict.fromkeys(("NoSuchUpload",), lambda _: None)
    driven(caller.tools.aws.send(Call("s3", "UploadPart", params, read=lambda _: None, refusals=late)))


def _insist(world: World, request: Callable[[], T]) -> T:
    """What a request is answered in the end."""
    answers: list[T] = []
    insist(world, lambda: answers.append(request()))
    return answers[0]

"""A client that sends a file in parts, each of a few bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import upload_items as table
from coatcheck.core.aws.dynamodb.upload_items import Multipart, UploadRecord
from coatcheck.core.errors import UploadIncomplete
from coatcheck.core.ids import make_id
from coatcheck.core.part_plan import PartPlan
from coatcheck_service.actions import direct_uploads
from coatcheck_service.actions.job_inputs import UPLOAD_TTL
from coatcheck_service.actions.multipart_uploads import initiate_upload
from coatcheck_service.http.authentication import RequestContext
from tests.simulation.api_process import retry_until_answered, run_without_loop
from tests.simulation.world import World

T = TypeVar("T")

PART = 4


def with_upload(submit_request: SubmitRequest, upload_id: str) -> SubmitRequest:
    """The request for a job that works on an upload."""
    return submit_request.model_copy(update={"input": {**submit_request.input, "file": {"$upload": upload_id}}})


def send_in_parts(world: World, context: RequestContext, body: bytes) -> str:
    """Send all parts and complete the upload; answers its id."""
    upload = _retry(world, lambda: _announce(context, body))
    assert upload.multipart is not None
    parts = PartPlan(upload.size, upload.multipart.part_size)
    for number in range(1, parts.count + 1):
        part = body[parts.start(number) :][: parts.length(number)]
        _retry(world, partial(_put, context, upload, number, part))
    try:
        view = _retry(world, lambda: run_without_loop(direct_uploads.complete(context, upload, None)))
    except UploadIncomplete as error:
        world.checks.violation(f"all of {upload.id} was sent, and is not taken: {error}")
        raise
    stored = world.model.bucket.objects.get(s3_keys.upload_key(upload.tenant, upload.id))
    if not view.complete or stored is None or stored.body != body:
        world.checks.violation(f"{upload.id} was completed and is not what was sent")
    return upload.id


def _announce(context: RequestContext, body: bytes) -> UploadRecord:
    """What `direct_uploads.create` does, for a file that is too small to be worth parts."""
    dependencies = context.dependencies
    upload = UploadRecord(
        context.tenant,
        make_id("upl", dependencies.entropy(16)),
        "file",
        "text/plain",
        len(body),
        None,
        dependencies.clock() + UPLOAD_TTL,
    )
    upload = replace(upload, multipart=Multipart(run_without_loop(initiate_upload(context, upload)).id, PART))
    run_without_loop(dependencies.transport.send(table.put_upload(dependencies.table, upload)))
    return upload


def _put(context: RequestContext, upload: UploadRecord, number: int, body: bytes) -> None:
    assert upload.multipart is not None
    params = {
        "Bucket": context.dependencies.bucket,
        "Key": s3_keys.upload_key(upload.tenant, upload.id),
        "UploadId": upload.multipart.id,
        "PartNumber": number,
        "Body": body,
    }
    # one that comes twice may come when all is done
    late = dict.fromkeys(("NoSuchUpload",), lambda _: None)
    run_without_loop(
        context.dependencies.transport.send(Call("s3", "UploadPart", params, read=lambda _: None, expected_errors=late))
    )


def _retry(world: World, request: Callable[[], T]) -> T:
    """What a request is answered in the end."""
    answers: list[T] = []
    retry_until_answered(world, lambda: answers.append(request()))
    return answers[0]

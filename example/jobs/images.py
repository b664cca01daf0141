"""`image.thumbnails`: small upright copies of photographs, and a contact sheet."""

from __future__ import annotations

import shutil

from coatcheck import Context, Reject, confined
from jobs.models import GIB, Images, Sheet

CONTENT_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg"}
# the largest image that is not refused by its header is a WebP: 1045 MB with the interpreter; the time is less than the
# job type's timeout, so that an image that takes for ever is refused rather than tried again
LIMITS = confined.Limits(memory=GIB * 9 // 8, seconds=240, disk=GIB)
LIMIT_REASONS = {"memory": "needs more memory", "seconds": "takes more time", "disk": "needs more disk"}


def thumbnails(params: Images, ctx: Context) -> Sheet:
    """A thumbnail of each image as the artifacts `001.webp`, `002.webp`, … and all of them on one page."""
    return run(params, ctx, LIMITS)


def run(params: Images, ctx: Context, limits: confined.Limits) -> Sheet:
    """`thumbnails` under other limits."""
    files = {str(number): ctx.input_path(upload) for number, upload in enumerate(params.images)}
    request = {"size": params.size, "uploads": [upload.id for upload in params.images]}
    try:
        answer = confined.run(ctx, "jobs.image_process:thumbnails", request, returns=Sheet, files=files, limits=limits)
    except confined.LimitReached as error:
        raise Reject(f"{error.during or 'an image'} {LIMIT_REASONS[error.limit]} than images may have") from error
    except confined.Crashed as error:
        raise Reject(f"{error.during or 'an image'} is broken: the decoder ended with {error.signal}") from error
    for name, path in answer.files.items():
        with path.open("rb") as made, ctx.artifact(name, CONTENT_TYPES[path.suffix]) as artifact:
            shutil.copyfileobj(made, artifact)
    return answer.value

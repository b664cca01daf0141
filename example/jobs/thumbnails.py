"""The job type `image.thumbnails`, which the API imports. Its handler needs Pillow and is in `jobs.images`."""

from coatcheck import JobType, minutes
from jobs.models import Images, Sheet

THUMBNAILS = JobType(
    "image.thumbnails",
    Images,
    Sheet,
    title="Make thumbnails",
    description=(
        "Makes a WebP thumbnail of each uploaded image, upright and without metadata, and a contact sheet of them "
        "all. Thumbnails and sheet are artifacts; the result lists them."
    ),
    timeout=minutes(5),
    handler="jobs.images:thumbnails",
)

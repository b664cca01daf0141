"""The job types of this deployment. The API reads this page: it must import nothing a handler needs."""

from coatcheck import JobType, Result, RetryPolicy, catalog, hours, minutes
from jobs.models import Bytes, Images, Sheet, Sleep, Slept, TableQuery

TABLE_QUERY = JobType(
    "table.query",
    TableQuery,
    Result,
    title="Query tables",
    description=(
        "Runs one SQL query (DuckDB) over uploaded CSV or Parquet files and returns the rows as CSV, JSON or "
        "Parquet. The query sees the given tables and nothing else: no files, no network."
    ),
    timeout=minutes(5),
)

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
)

SLEEP = JobType(
    "demo.sleep",
    Sleep,
    Slept,
    title="Sleep",
    description="Sleeps, reports progress, and fails in the way it is asked to: to try cancel, timeouts and retries.",
    timeout=hours(2),
    max_attempts=5,
    retry=RetryPolicy(base=0.5, cap=30),
)

BYTES = JobType(
    "demo.bytes",
    Bytes,
    Result,
    title="Make bytes",
    description="A result of exactly so many reproducible bytes: to try large results.",
    timeout=minutes(30),
)

CATALOG = catalog(TABLE_QUERY, THUMBNAILS, SLEEP, BYTES)

"""Results and artifacts of any size and name, put where a worker puts them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Blob, Job


@dataclass(frozen=True)
class FinishedJob:
    """A job that has succeeded, and the stores it is kept in: what it made is what the test says."""

    transport: Transport
    table: str
    bucket: str
    key: JobKey

    def job(self) -> Job:
        """The job as the table has it."""
        found = self.transport.send(job_items.get_job(self.table, self.key))
        assert found is not None
        return found

    def set_result(self, body: bytes, content_type: str, *, filename: str | None = None, inline: bool = False) -> None:
        """Make this the job's result, in its row or in the bucket."""
        job, blob = self.job(), blob_of(body, content_type, filename)
        if not inline:
            self._put(s3_keys.result_key(job), body, blob)
        self._overwrite(replace(job, result=replace(blob, inline=body if inline else None)))

    def set_artifacts(self, bodies: Mapping[str, bytes], content_type: str) -> None:
        """Make these the job's artifacts."""
        job = self.job()
        made = [blob_of(body, content_type, name) for name, body in bodies.items()]
        for name, blob in zip(bodies, made, strict=True):
            self._put(s3_keys.artifact_key(job, name), bodies[name], blob)
        self.transport.send(job_items.put_artifacts(self.table, job, made))
        self._overwrite(replace(job, artifact_count=len(made)))

    def _put(self, key: str, body: bytes, blob: Blob) -> None:
        # the type that the bucket is told is of no account: each link says what the answer is to have
        self.transport.send(s3.put(self.bucket, key, body, content_type="application/x-in-bucket", sha256=blob.sha256))

    def _overwrite(self, job: Job) -> None:
        params = {"TableName": self.table, "Item": encode_job(job)}
        self.transport.send(Call("dynamodb", "PutItem", params, read=lambda _: None))


def blob_of(body: bytes, content_type: str, filename: str | None = None) -> Blob:
    """What a row says of these bytes."""
    return Blob(len(body), hashlib.sha256(body).digest(), content_type, filename)

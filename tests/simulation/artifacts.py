"""Which artifacts the jobs of a schedule must have: those of each leg that went on, and of the run that succeeded."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import CONTINUE, Status
from tests.simulation.fault_history import AttemptKey
from tests.simulation.model import Model, ModelTransport

TABLE = "table"


class ExpectedArtifacts:
    """What handlers wrote, by the digest of each name; and what of it is kept, as the rows have it."""

    def __init__(self) -> None:
        self._written: dict[AttemptKey, dict[str, bytes]] = defaultdict(dict)
        self._kept: dict[tuple[str, int], dict[str, bytes]] = defaultdict(dict)

    def written(self, attempt_key: AttemptKey, name: str, body: bytes) -> None:
        """A handler has written an artifact, and was told that it is stored."""
        self._written[attempt_key][name] = hashlib.sha256(body).digest()

    def ended(self, new: Job) -> None:
        """The run of an attempt has ended, and left the row like this."""
        goes_on = new.status is Status.QUEUED and new.history[-1].type == CONTINUE.event
        if goes_on or new.status is Status.SUCCEEDED:
            self._kept[new.id, new.created_at] |= self._written[new.id, new.created_at, new.attempt]

    def flaws(self, job: Job, model: Model) -> Iterator[str]:
        """What is wrong with the artifacts of a job that has succeeded."""
        kept = self._kept[job.id, job.created_at]
        shown = {made.name: made for made in run(ModelTransport(model, lambda: 0), all_artifacts(TABLE, job))}
        if shown.keys() != kept.keys():
            yield f"{job.id} shows the artifacts {sorted(shown)}, and its legs made {sorted(kept)}"
        for name in shown.keys() & kept.keys():
            stored = model.bucket.objects.get(s3_keys.artifact_key(job, name, shown[name].attempt))
            if stored is None or {hashlib.sha256(stored.body).digest(), shown[name].blob.sha256} != {kept[name]}:
                yield f"the artifact {name} of {job.id} is not there, or not the one of the last leg that wrote it"

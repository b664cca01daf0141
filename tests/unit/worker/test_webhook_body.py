"""The body of an event: the job as it was, and never too long."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.clock import DAY, MINUTE, SECOND, rfc3339
from coatcheck.core.job import Artifact, Blob, Job, JobError, Legs, Progress
from coatcheck.core.lifecycle import Status
from coatcheck_worker.webhooks.event_body import MAX_BODY, event_body
from tests.job_rows import NOW, make_job

RESULT = Blob.of(b"abc", "text/plain")


def ended(**changes: Any) -> Job:
    job = make_job(
        type="demo.sleep",
        status=Status.SUCCEEDED,
        version=4,
        updated_at=NOW + MINUTE,
        attempt=2,
        input=RESULT,
        result=RESULT,
        started_at=NOW + SECOND,
        started_version=1,
        finished_at=NOW + MINUTE,
        expires_at=NOW + DAY,
        notify=("job.succeeded",),
        base_url="https://jobs.example",
        progress=Progress(1.0),
    )
    return replace(job, **changes)


def test_it_is_json_without_blanks_and_the_same_each_time() -> None:
    body = event_body(ended(metadata={"name": "Jörg"}), "job.succeeded", ())
    assert body == event_body(ended(metadata={"name": "Jörg"}), "job.succeeded", ())
    told = json.loads(body)
    assert body == json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    assert body.startswith(b'{"type":"job.succeeded","timestamp":"' + rfc3339(NOW + MINUTE).encode())
    assert list(told) == ["type", "timestamp", "data"]
    assert told["data"]["result"]["sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert told["data"]["progress"] == {"fraction": 1.0, "message": None}


def test_a_start_has_the_time_of_the_start_and_nothing_of_the_end() -> None:
    made = [Artifact(Blob(3, b"d" * 32, "text/plain", "a.txt"), attempt=2)]
    told = json.loads(event_body(ended(artifact_count=1), "job.started", made))
    assert told["timestamp"] == rfc3339(NOW + SECOND)
    data = told["data"]
    assert (data["status"], data["done"], data["version"], data["attempt"]) == ("running", False, 2, 1)
    assert (data["result"], data["artifacts"], data["error"], data["finished_at"]) == (None, [], None, None)


LONG = "😀" * 500
ARTIFACTS = [
    Artifact(Blob(10**12, b"d" * 32, f"application/{'x' * 120}", f"{n:03d}{'ü' * 250}"), attempt=2) for n in range(200)
]
METADATA = {f"{n:02d}{'😀' * 38}": LONG for n in range(16)}


@pytest.mark.parametrize(
    ("artifacts", "metadata", "omitted"),
    [
        (ARTIFACTS, {}, ["artifacts"]),
        (ARTIFACTS, {"a": "b"}, ["artifacts"]),
        ((), METADATA, ["artifacts", "metadata"]),
        (ARTIFACTS, METADATA, ["artifacts", "metadata"]),
    ],
)
def test_the_largest_job_there_can_be_is_told_of_in_20_kb(
    artifacts: list[Artifact], metadata: dict[str, str], omitted: list[str]
) -> None:
    job = ended(
        id=f"job_{'x' * 60}",
        type="t" * 64,
        result=replace(RESULT, size=10**13, content_type=f"application/{'x' * 240}"),
        artifact_count=len(artifacts),
        metadata=metadata,
        progress=Progress(0.5, "😀" * 200),
        error=JobError("handler-error", LONG),
        base_url=f"https://{'h' * 250}",
        replayed_from=f"job_{'x' * 60}",
    )
    body = event_body(job, "job.succeeded", artifacts)
    assert len(body) < MAX_BODY
    told = json.loads(body)
    assert told["omitted"] == omitted
    assert told["data"]["error"]["detail"] == LONG
    assert told["data"]["progress"]["message"] == "😀" * 200
    assert [bool(told["data"][name]) for name in omitted] == [False] * len(omitted)


def test_a_job_of_several_legs_is_told_of_as_one_attempt() -> None:
    job = ended(attempt=3, max_attempts=5, legs=Legs(2, last=2, kept=1, artifacts=1), artifact_count=1)
    for event in ("job.started", "job.succeeded"):
        told = json.loads(event_body(job, event, ARTIFACTS[:1]))
        assert (told["data"]["attempt"], told["data"]["max_attempts"]) == (1, 3)


def test_nothing_is_left_out_of_what_fits() -> None:
    told = json.loads(event_body(ended(metadata={"a": "x" * 500}, artifact_count=3), "job.succeeded", ARTIFACTS[:3]))
    assert "omitted" not in told
    assert len(told["data"]["artifacts"]) == 3

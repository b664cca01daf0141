"""Which objects under the prefixes of an id are a job's to remove."""

from __future__ import annotations

from dataclasses import replace

from coatcheck.core.aws import s3_keys
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from tests.job_rows import NOW, make_job


def test_a_job_leaves_its_own_objects_even_if_a_slow_clock_says_that_it_ended_before_it_began() -> None:
    deleted = make_job(created_at=NOW, expires_at=NOW - MINUTE)
    next_job = make_job(created_at=NOW - SECOND)
    older, own, of_the_next = (
        s3_keys.result_key(replace(deleted, created_at=at)) for at in (NOW - HOUR, NOW, next_job.created_at)
    )
    assert s3_keys.keys_left_by(deleted, [older, own, of_the_next]) == [older, own]
    assert s3_keys.keys_left_by(next_job, [older, own, of_the_next]) == []

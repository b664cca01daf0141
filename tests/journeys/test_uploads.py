"""An upload in parts through both front doors; behind the one with Lambda functions, by the role's own permissions."""

from __future__ import annotations

import hashlib

import httpx

from coatcheck.core.part_plan import MIN_PART_SIZE
from tests.journeys.results import fetch_result
from tests.journeys.up_process import Stack

BODY = b"a,b\n" + b"1,2\n" * (MIN_PART_SIZE // 4)


def test_parts_go_up_one_by_one_and_are_queried(front_door: Stack) -> None:
    with front_door.client() as client:
        described = {"filename": "t.csv", "content_type": "text/csv", "size": len(BODY), "multipart": True}
        announced = client.post("/v1/uploads", json={**described, "sha256": hashlib.sha256(BODY).hexdigest()})
        assert announced.status_code == 201, announced.text
        upload = f"/v1/uploads/{announced.json()['id']}"
        assert client.post(f"{upload}/complete").json()["code"] == "upload-incomplete"
        # each is asked for when the one before has arrived
        for number in (1, 2):
            part = client.get(f"{upload}/parts").json()["parts"][0]
            assert part["number"] == number
            piece = BODY[(number - 1) * MIN_PART_SIZE : number * MIN_PART_SIZE]
            sent = httpx.put(part["url"], content=piece, timeout=60, trust_env=False)
            assert sent.is_success, sent.text
        for _ in range(2):
            completed = client.post(f"{upload}/complete")
            assert completed.status_code == 200, completed.text
        assert client.get(upload).json() == completed.json()

        sql = {"sql": "SELECT count(*) AS n FROM t", "tables": {"t": {"$upload": completed.json()["id"]}}}
        job = client.post("/v1/jobs", json={"type": "table.query", "input": {**sql, "format": "csv"}})
        assert job.status_code in {200, 202}, job.text
        answer = fetch_result(client, job.json()["id"])
        assert (answer.status_code, answer.content.split()) == (200, [b"n", str(MIN_PART_SIZE // 4).encode()])

"""Short journeys that between them need every permission: what a client does, what goes wrong, and what is swept up."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from coatcheck.core.clock import MINUTE, system_clock
from coatcheck.core.part_plan import MIN_PART_SIZE
from coatcheck_infra.local.home import TENANT
from tests.hostile.permissions.operator_paths import operator_of_jobs, operator_of_queues
from tests.hostile.permissions.traveller import Traveller, as_new_tenant

MIB = 1024**2
SLEEP = {"seconds": 0}


def small_job(one: Traveller) -> None:
    job = one.done("demo.sleep", SLEEP)
    assert one.get(f"/v1/jobs/{job}/result").json() == {"slept": 0.0}
    assert job in [listed["id"] for listed in one.get("/v1/jobs").json()["data"]]
    one.get(f"/v1/jobs/{job}/events")


def replayed_large_input(one: Traveller) -> None:
    job = one.done("table.query", {"sql": f"select 1 -- {'x' * 90_000}", "tables": {}})
    again = one.post(f"/v1/jobs/{job}/replay")["id"]
    one.until(lambda: one.get(f"/v1/jobs/{again}").json()["done"], "the replay does not end")
    assert one.get(f"/v1/jobs/{again}").json()["status"] == "succeeded"
    assert one.http.delete(f"/v1/jobs/{job}").status_code == 204


def upload_in_one_request(one: Traveller) -> None:
    ticket = one.post("/v1/uploads", {"filename": "t.csv", "content_type": "text/csv", "size": 4}, 201)
    _send(ticket, b"a\n1\n")
    one.get(f"/v1/uploads/{ticket['id']}")
    one.done("table.query", {"sql": "select * from t", "tables": {"t": {"$upload": ticket["id"]}}})


def upload_in_parts(one: Traveller) -> None:
    content = b"a\n" + b"1\n" * (MIN_PART_SIZE // 2)
    announced = {"filename": "t.csv", "content_type": "text/csv", "size": len(content), "multipart": True}
    ticket = one.post("/v1/uploads", announced, 201)
    one.get(f"/v1/uploads/{ticket['id']}/parts")
    for part in ticket["parts"]:
        start = (part["number"] - 1) * ticket["part_size"]
        piece = content[start : start + ticket["part_size"]]
        sent = httpx.put(part["url"], content=piece, headers=part.get("headers", {}), trust_env=False, timeout=60)
        assert sent.is_success, sent.text
    one.post(f"/v1/uploads/{ticket['id']}/complete", status=200)
    one.done("table.query", {"sql": "select count(*) from t", "tables": {"t": {"$upload": ticket["id"]}}})


def large_result(one: Traveller) -> None:
    job = one.done("demo.bytes", {"size": 24 * MIB})
    link = one.get(f"/v1/jobs/{job}/result", 303).headers["location"]
    assert len(httpx.get(link, trust_env=False, timeout=60).content) == 24 * MIB
    assert one.http.delete(f"/v1/jobs/{job}").status_code == 204
    assert httpx.get(link, trust_env=False, timeout=60).status_code in {403, 404}


def failing_job(one: Traveller) -> None:
    one.done("demo.sleep", {"seconds": 0, "fail": "transient"})
    one.done("demo.sleep", {"seconds": 0, "fail": "permanent"}, status="failed")


def canceled_job(one: Traveller) -> None:
    job = one.post("/v1/jobs", {"type": "demo.sleep", "input": SLEEP, "delay": 3600})["id"]
    one.post(f"/v1/jobs/{job}/cancel", status=200)


def webhooks(one: Traveller) -> None:
    endpoint = one.post("/v1/webhook-endpoints", {"url": f"{one.receiver.url}/permissions"}, 201)["id"]
    job = one.done("demo.sleep", SLEEP)
    path = f"/v1/jobs/{job}/deliveries"
    one.until(lambda: {d["status"] for d in one.get(path).json()["data"]} == {"delivered"}, "not all is delivered")
    one.post(f"{path}/{one.get(path).json()['data'][0]['id']}/resend")
    one.post(f"/v1/webhook-endpoints/{endpoint}/rotate-secret", status=200)
    one.post(f"/v1/webhook-endpoints/{endpoint}/test")
    tests = f"/v1/webhook-endpoints/{endpoint}/deliveries"
    one.until(
        lambda: {d["status"] for d in one.get(tests).json()["data"]} == {"delivered"}, "the test is not delivered"
    )
    assert one.http.delete(f"/v1/webhook-endpoints/{endpoint}").status_code == 204


def unreadable_messages(one: Traveller) -> None:
    before = {lane: one.count(queue) for lane, queue in one.settings.dead_letters.items()}
    for queue in one.settings.queues.values():
        one.aws("sqs").send_message(QueueUrl=queue, MessageBody="no message")
    one.until(
        lambda: all(one.count(queue) > before[lane] for lane, queue in one.settings.dead_letters.items()),
        "they are not put aside",
    )


def newer_messages(one: Traveller) -> None:
    queues = one.settings.queues.values()
    for queue in queues:
        one.aws("sqs").send_message(QueueUrl=queue, MessageBody='{"v": 2}')
    hidden = "ApproximateNumberOfMessagesNotVisible"
    one.until(lambda: all(one.count(queue, hidden) > 0 for queue in queues), "they are not kept for later")


def dead_letters_swept(one: Traveller) -> None:
    job = one.done("demo.sleep", SLEEP)
    dead = one.settings.dead_letters["default"]
    one.aws("sqs").send_message(QueueUrl=dead, MessageBody=json.dumps({"v": 1, "tenant": TENANT, "job": job}))
    one.sweep()
    one.until(lambda: "dead" in one.get(f"/v1/jobs/{job}/events").text or not one.count(dead), "it is not swept")


def lost_message(one: Traveller) -> None:
    # so late that there is no message yet
    job = one.post("/v1/jobs", {"type": "demo.sleep", "input": SLEEP, "delay": 86_400})["id"]
    past = system_clock() - MINUTE
    one.rewrite(job, start_at=past, run_at=past, due_at=past)
    one.sweep()
    one.until(lambda: one.get(f"/v1/jobs/{job}").json()["done"], "it does not start")


def retention_over(one: Traveller) -> None:
    job = one.done("demo.bytes", {"size": 1 * MIB})
    link = one.get(f"/v1/jobs/{job}/result", link=True).json()["url"]
    past = system_clock() - MINUTE
    one.rewrite(job, expires_at=past, due_at=past)

    def swept() -> bool:
        one.sweep()
        return httpx.get(link, trust_env=False).status_code == 404

    one.until(swept, "its result is still there")


def released_job(one: Traveller) -> None:
    job = one.post("/v1/jobs", {"type": "demo.sleep", "input": SLEEP, "delay": 1})["id"]
    one.until(lambda: one.get(f"/v1/jobs/{job}").json()["done"], "it does not start")


def tenant_limits(one: Traveller) -> None:
    name = f"capped-{secrets.token_hex(4)}"
    with as_new_tenant(one, name, jobs_running=1, jobs_waiting=100, submit_rate=100) as capped:
        # long enough that some are parked, however slowly they are submitted
        jobs = [capped.post("/v1/jobs", {"type": "demo.sleep", "input": {"seconds": 3}})["id"] for _ in range(5)]
        # the sweeper would wake one a minute
        capped.until(
            lambda: all(capped.get(f"/v1/jobs/{job}").json()["done"] for job in jobs), "who ends a job wakes no other"
        )


def expired_job(one: Traveller) -> None:
    job = one.post("/v1/jobs", {"type": "demo.sleep", "input": SLEEP, "delay": 1, "queue_ttl": 0.1})["id"]
    one.until(lambda: one.get(f"/v1/jobs/{job}").json()["done"], "it does not expire")
    one.sweep()


PATHS: Mapping[str, Callable[[Traveller], None]] = {
    path.__name__: path
    for path in (
        small_job,
        replayed_large_input,
        upload_in_one_request,
        upload_in_parts,
        large_result,
        failing_job,
        canceled_job,
        webhooks,
        unreadable_messages,
        newer_messages,
        dead_letters_swept,
        lost_message,
        retention_over,
        released_job,
        expired_job,
        tenant_limits,
        operator_of_jobs,
        operator_of_queues,
    )
}


def _send(ticket: Mapping[str, Any], content: bytes) -> None:
    sent = httpx.request(ticket["method"], ticket["url"], headers=ticket["headers"], content=content, trust_env=False)
    assert sent.is_success, sent.text

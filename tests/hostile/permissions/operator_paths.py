"""The paths of an operator, by the routes below `/v1/admin`: their function has a role of its own."""

from __future__ import annotations

import json
from typing import Any

from coatcheck_infra.local.home import TENANT
from tests.hostile.permissions.traveller import Traveller

LANE = "heavy"


def operator_of_jobs(one: Traveller) -> None:
    """See all tenants, and the jobs of one; cancel one of them."""
    job = one.post("/v1/jobs", {"type": "demo.sleep", "input": {"seconds": 0}, "delay": 3600})["id"]
    _asked(one, "GET", "/tenants")
    _asked(one, "GET", "/jobs")
    _asked(one, "GET", f"/tenants/{TENANT}/jobs/{job}")
    _asked(one, "GET", "/stuck-jobs")
    _asked(one, "POST", f"/tenants/{TENANT}/jobs/{job}/cancel")
    assert one.get(f"/v1/jobs/{job}").json()["status"] == "canceled"


def operator_of_queues(one: Traveller) -> None:
    """Count messages; have a dead letter's job woken, and discard another letter."""
    assert len(_asked(one, "GET", "/queues")["data"]) == len(one.settings.queues)
    job = one.post("/v1/jobs", {"type": "demo.sleep", "input": {"seconds": 0}, "delay": 3600})["id"]
    _dead_letter(one, json.dumps({"v": 1, "tenant": TENANT, "job": job}), "POST", "/redrive")
    _dead_letter(one, "nothing that can be read", "DELETE")


def _dead_letter(one: Traveller, body: str, method: str, action: str = "") -> None:
    queue = one.settings.dead_letters[LANE]

    def is_handled() -> bool:
        # a new one each time: the sweeper looks too, and while it does, or when it has settled it, nobody finds it
        sent = one.aws("sqs").send_message(QueueUrl=queue, MessageBody=body)["MessageId"]
        return one.operator.request(method, f"/queues/{LANE}/dead-letters/{sent}{action}").is_success

    one.until(is_handled, f"no dead letter takes {method} {action}")


def _asked(one: Traveller, method: str, path: str) -> Any:
    answer = one.operator.request(method, path)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:300]}"
    return answer.json()

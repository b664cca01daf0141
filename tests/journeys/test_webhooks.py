"""Being called instead of polling, through both ways of running: a real receiver, real jobs, real signatures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from coatcheck.core.signature import BadSignature
from coatcheck.core.webhooks import JOBS_ENDPOINT
from tests.journeys.up_process import COATCHECK, Stack
from tests.journeys.webhook_receiver import ReceivedWebhook, WebhookReceiver, run_receiver
from tests.waiting import eventually

Json = dict[str, Any]

# what a copy of the API and a deliverer have read of endpoints they take to be so for as long as this
KNOWN_EVERYWHERE = 10.0
ROTATED_WITHIN = 15.0

SLEEP = {"type": "demo.sleep", "input": {"seconds": 0}}


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def client(front_door: Stack) -> Iterator[httpx.Client]:
    with front_door.client() as client:
        yield client


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A path of the receiver that is this test's own."""
    return "/" + re.sub(r"\W+", "-", request.node.name).strip("-")


@pytest.fixture
def endpoint(client: httpx.Client, receiver: WebhookReceiver, path: str) -> Iterator[Json]:
    """An endpoint that leads to `path`, secret and all."""
    made = body_of(client.post("/v1/webhook-endpoints", json={"url": receiver.url + path}), 201)
    yield made
    body_of(client.delete(f"/v1/webhook-endpoints/{made['id']}"), 204)


def body_of(answer: httpx.Response, status: int) -> Json:
    """The body of an answer that has to have this status."""
    assert answer.status_code == status, answer.text
    body: Json = answer.json() if answer.content else {}
    return body


def deliveries(client: httpx.Client, job: str) -> list[Json]:
    found: list[Json] = body_of(client.get(f"/v1/jobs/{job}/deliveries"), 200)["data"]
    return found


def delivered(client: httpx.Client, job: str, attempts: int) -> Json:
    """The one delivery of a job once it was made, in so many attempts: what arrives is noted a moment later."""

    def whole() -> bool:
        found = deliveries(client, job)
        return [(one["status"], len(one["attempts"])) for one in found] == [("delivered", attempts)]

    eventually(whole, described=lambda: deliveries(client, job))
    return deliveries(client, job)[0]


def test_an_endpoint_hears_of_a_job_from_its_start_to_its_end(
    client: httpx.Client, receiver: WebhookReceiver, endpoint: Json, path: str
) -> None:
    time.sleep(KNOWN_EVERYWHERE)
    job = body_of(client.post("/v1/jobs", json=SLEEP), 202)["id"]
    received = [one.verified(endpoint["secret"]) for one in receiver.wait_for(path, 2)]
    events = {event["type"]: event for event in received}
    assert events.keys() == {"job.started", "job.succeeded"}
    assert [event["data"]["id"] for event in events.values()] == [job, job]
    assert [events[kind]["data"]["status"] for kind in sorted(events)] == ["running", "succeeded"]
    assert events["job.started"]["data"]["version"] < events["job.succeeded"]["data"]["version"]
    shown = body_of(client.get(events["job.succeeded"]["data"]["urls"]["self"]), 200)
    assert shown == events["job.succeeded"]["data"]

    eventually(lambda: {one["status"] for one in deliveries(client, job)} == {"delivered"})
    ledger = deliveries(client, job)
    assert {one["webhook_id"] for one in ledger} == {one.id for one in receiver.at(path)}
    assert {(one["endpoint"], one["url"]) for one in ledger} == {(endpoint["id"], endpoint["url"])}
    assert [[attempt["status_code"] for attempt in one["attempts"]] for one in ledger] == [[204], [204]]


def test_a_job_brings_a_webhook_of_its_own_which_is_sent_again_by_hand(
    client: httpx.Client, receiver: WebhookReceiver, path: str
) -> None:
    secret = rotated(client, JOBS_ENDPOINT)
    webhook = {"url": receiver.url + path, "events": ["job.succeeded"]}
    job = body_of(client.post("/v1/jobs", json={**SLEEP, "webhook": webhook}), 202)["id"]
    delivery = delivered(client, job, 1)
    body_of(client.post(f"/v1/jobs/{job}/deliveries/{delivery['id']}/resend"), 202)
    first, second = receiver.wait_for(path, 2)
    assert (second.id, second.body) == (first.id, first.body)
    assert second.verified(secret)["data"]["id"] == job
    delivered(client, job, 2)


def test_what_a_receiver_does_not_take_is_sent_again(
    client: httpx.Client, receiver: WebhookReceiver, path: str
) -> None:
    receiver.answers[path] = [500]
    secret = rotated(client, JOBS_ENDPOINT)
    webhook = {"url": receiver.url + path, "events": ["job.canceled"]}
    job = body_of(client.post("/v1/jobs", json={**SLEEP, "delay": 600, "webhook": webhook}), 202)["id"]
    body_of(client.post(f"/v1/jobs/{job}/cancel"), 200)
    first, second = receiver.wait_for(path, 2)
    assert (second.id, second.body) == (first.id, first.body)
    assert second.headers["webhook-timestamp"] > first.headers["webhook-timestamp"]
    assert second.verified(secret)["type"] == "job.canceled"
    assert [attempt["status_code"] for attempt in delivered(client, job, 2)["attempts"]] == [500, 204]


def test_a_rotated_secret_signs_beside_the_one_before(
    client: httpx.Client, receiver: WebhookReceiver, endpoint: Json, path: str
) -> None:
    fresh = rotated(client, endpoint["id"])
    assert fresh != endpoint["secret"]

    def signed_by(secret: str, received: ReceivedWebhook) -> bool:
        try:
            received.verified(secret)
        except BadSignature:
            return False
        return True

    def pinged() -> ReceivedWebhook:
        count = len(receiver.at(path))
        body_of(client.post(f"/v1/webhook-endpoints/{endpoint['id']}/test"), 202)
        return receiver.wait_for(path, count + 1)[-1]

    eventually(lambda: signed_by(fresh, pinged()), ROTATED_WITHIN)
    assert signed_by(endpoint["secret"], receiver.at(path)[-1])


def test_an_endpoint_that_is_gone_is_disabled_until_it_is_enabled_by_hand(
    client: httpx.Client, receiver: WebhookReceiver, endpoint: Json, path: str
) -> None:
    where = f"/v1/webhook-endpoints/{endpoint['id']}"
    receiver.answers[path] = [410]
    body_of(client.post(f"{where}/test"), 202)
    eventually(lambda: not client.get(where).json()["enabled"])
    assert body_of(client.get(where), 200)["disabled_reason"] == "answered 410 Gone"
    assert [one["status"] for one in client.get(f"{where}/deliveries").json()["data"]] == ["failed"]

    shown = body_of(client.patch(where, json={"enabled": True}), 200)
    assert (shown["enabled"], shown["disabled_reason"]) == (True, None)
    body_of(client.post(f"{where}/test"), 202)
    assert receiver.wait_for(path, 2)[-1].verified(endpoint["secret"])["type"] == "webhook.test"


def test_neither_the_service_itself_nor_an_inner_address_can_be_an_endpoint(
    client: httpx.Client, front_door: Stack
) -> None:
    for url in (f"{front_door.url}/v1/jobs", "http://10.0.0.1/hook", "http://169.254.169.254/latest/meta-data"):
        problem = body_of(client.post("/v1/webhook-endpoints", json={"url": url}), 422)
        assert problem["errors"] == [{"pointer": "/url", "detail": "webhook url: the address is not allowed"}]


def test_that_webhooks_stay_on_this_machine_is_said_at_the_start(front_door: Stack) -> None:
    assert "over http too (COATCHECK_WEBHOOK_TARGETS=local)" in front_door.log.read_text()


def test_a_deliverer_that_is_killed_is_made_good(stack: Stack, receiver: WebhookReceiver, path: str) -> None:
    with stack.client() as client:
        for pid, command in stack.processes().items():
            if "coatcheck_worker.webhooks" in command:
                os.kill(pid, signal.SIGKILL)
        webhook = {"url": receiver.url + path, "events": ["job.succeeded"]}
        job = body_of(client.post("/v1/jobs", json={**SLEEP, "webhook": webhook}), 202)["id"]
        delivered(client, job, 1)
        assert len(receiver.at(path)) == 1


def test_webhooks_are_watched_and_forwarded_by_the_command_line(
    stack: Stack, receiver: WebhookReceiver, path: str, environ: dict[str, str], tmp_path: Path
) -> None:
    with stack.client() as client:
        secret = rotated(client, JOBS_ENDPOINT)
        with listening(environ, tmp_path, "--json", "--secret", secret, "--forward-to", receiver.url + path) as told:
            webhook = {"url": told.url, "events": ["job.succeeded"]}
            job = body_of(client.post("/v1/jobs", json={**SLEEP, "webhook": webhook}), 202)["id"]
            shown = json.loads(told.lines.readline())
    assert (shown["body"]["data"]["id"], shown["verified"], shown["answered"]) == (job, True, 204)
    assert receiver.at(path)[0].verified(secret) == shown["body"]


@dataclass(frozen=True)
class ListenProcess:
    """A `coatcheck webhooks listen`: where it listens, and its standard output."""

    url: str
    lines: IO[str]


@contextmanager
def listening(environ: dict[str, str], place: Path, *arguments: str) -> Iterator[ListenProcess]:
    said = place / "said"
    command = [*COATCHECK, "webhooks", "listen", *arguments]
    with (
        said.open("w") as stderr,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            eventually(lambda: re.search(r"listening at \S+", said.read_text()), described=said.read_text)
            assert process.stdout
            yield ListenProcess(re.findall(r"listening at (\S+)", said.read_text())[0], process.stdout)
            process.send_signal(signal.SIGINT)
            process.wait(10)
        finally:
            process.kill()


def rotated(client: httpx.Client, endpoint: str) -> str:
    """The endpoint's new secret; of that of the jobs, the first one the first time."""
    secret: str = body_of(client.post(f"/v1/webhook-endpoints/{endpoint}/rotate-secret"), 200)["secret"]
    return secret

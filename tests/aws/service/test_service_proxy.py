"""The service proxy against the ordinary path: the same rows, the same answers (docs/adr/0163).

`make proxy` compares 500 submits; the tests compare fewer.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from coatcheck.authoring.loading import catalog, load_handlers
from coatcheck.core.aws.dynamodb.codec import decode_job
from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.aws.sqs import delete_batch, receive
from coatcheck.core.clock import MINUTE, system_clock
from coatcheck.core.job import Job
from coatcheck_infra.local.resources import client
from coatcheck_service.http.authorizer import authorize
from coatcheck_service.identity_sources import IdentitySources
from coatcheck_worker.aws_dispatcher import dispatch_rows
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor.poller import Poller
from coatcheck_worker.sweep import sweep
from tests.aws import emulators
from tests.aws.service.limits_harness import Clock
from tests.aws.service.proxied_path import Answer, ProxiedPath, project_with_proxy, stage_variables
from tests.aws.service.running_service import RunningService, run_service
from tests.aws.service.submits import LETTERS, Submit, send, submits
from tests.direct_runners import DirectRunners, step
from tests.mapping_templates import mapping_templates

COUNT = int(os.environ.get("COATCHECK_PROXY_SUBMITS", "60"))
OF_CONNECTION = {"date", "server", "content-length", "x-request-id"}


@functools.cache
def dynamodb_of(url: str) -> Any:
    """A plain client, which takes long to make."""
    return client("dynamodb", url)


@dataclass
class Client:
    """A tenant that submits by one of the two ways."""

    tenant: str
    key: str
    running: RunningService
    http: httpx.Client
    proxied: ProxiedPath | None = None
    sent: int = 0
    carried: int = 0

    def submit(self, submit: Submit) -> Answer:
        """Hand in a job; where the proxy leads to the ordinary path, go there."""
        if self.proxied is not None:
            self.sent += 1
            request_id = f"00000000-0000-4000-8000-{self.sent:012d}"
            answer = self.proxied.post(submit.body, submit.headers, self.verdict, request_id=request_id)
            if answer.status != 307:
                self.carried += 1
                return answer
            assert answer.headers["Location"] == "../jobs"
        ordinary = self.http.post("/v1/jobs", content=submit.body, headers=submit.headers | self.authorization)
        return Answer(ordinary.status_code, ordinary.headers, ordinary.text)

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the tenant's key."""
        return {"Authorization": f"Bearer {self.key}"}

    @functools.cached_property
    def verdict(self) -> Mapping[str, Any]:
        """What the authorizer says of the tenant's key; API Gateway keeps it for a while."""
        return asyncio.run(authorizer_verdict(self.running, self.key))

    @property
    def dynamodb(self) -> Any:
        """A plain client of the table."""
        return dynamodb_of(self.running.endpoint_url)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The tenant's rows, by the ids of their jobs."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.running.settings.table, ConsistentRead=True)
        items = [item for page in pages for item in page["Items"] if item["sk"]["S"] == "job"]
        return {item["pk"]["S"].partition("#")[2]: item for item in items if item["tenant"]["S"] == self.tenant}


async def authorizer_verdict(running: RunningService, key: str) -> Mapping[str, Any]:
    """What the authorizer tells API Gateway of a key."""
    transport = emulators.connect_async(running.endpoint_url)
    event = {"methodArn": "arn:a/live/POST/v1", "multiValueHeaders": {"Authorization": [f"Bearer {key}"]}}
    try:
        answer = await authorize(event, IdentitySources(running.settings, transport))
    finally:
        await transport.aclose()
    said: Mapping[str, Any] = answer["context"]
    return said


@dataclass(frozen=True)
class Deployment:
    """A service and the proxy in front of its table."""

    running: RunningService
    http: httpx.Client
    proxied: ProxiedPath
    clock: Clock

    def clients(self) -> tuple[Client, Client]:
        """A tenant that submits by the service, and one that submits by API Gateway."""
        return replace(self.by_proxy(), proxied=None), self.by_proxy()

    def by_proxy(self) -> Client:
        """A tenant that submits by API Gateway."""
        return Client(*self.running.new_tenant(), self.running, self.http, self.proxied)

    def worker(self) -> Dependencies:
        """A worker."""
        transport, settings = self.running.worker, self.running.settings
        runners = DirectRunners(load_handlers(catalog(send)), transport, self.clock)
        return Dependencies(transport, settings, clock=self.clock, roll=lambda: 0.5, runners=runners)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    clock = Clock(system_clock())
    with (
        emulators.ministack(tmp_path_factory.mktemp("ministack")) as url,
        mapping_templates(tmp_path_factory.mktemp("node")) as templates,
    ):
        settings = emulators.deployment_on(url).model_copy(update={"service_proxy": "on"})
        with run_service(settings, emulators.connect(url), url, catalog=catalog(send), clock=clock) as running_service:
            variables = stage_variables(settings, running_service.url)
            path = ProxiedPath(project_with_proxy(LETTERS), LETTERS, templates, url, variables, clock)
            with httpx.Client(base_url=running_service.url, trust_env=False, timeout=60) as http:
                yield Deployment(running_service, http, path, clock)


def test_rows_and_answers_are_those_of_the_ordinary_path(deployment: Deployment) -> None:
    ordinary, by_proxy = deployment.clients()
    statuses: Counter[int] = Counter()
    identical = replayed = 0
    for submit in submits(COUNT):
        deployment.clock.now += 1001
        expected, answer = ordinary.submit(submit), by_proxy.submit(submit)
        statuses[answer.status] += 1
        assert comparable(answer) == comparable(expected), submit
        assert headers_of(answer) == headers_of(expected), submit
        identical += answer.text == expected.text
        if answer.status == 202:
            assert Row.of(by_proxy, answer) == Row.of(ordinary, expected), submit
            replayed += "idempotent-replayed" in answer.headers
    # otherwise the comparison would be of the ordinary path with itself
    assert by_proxy.carried > COUNT / 2, statuses
    assert identical > COUNT / 10
    assert replayed > COUNT / 50, (
        f"{by_proxy.carried} carried, {identical} to the byte, {replayed} replayed, {statuses}"
    )
    assert statuses[202] > by_proxy.carried
    assert len(statuses) > 2, statuses
    assert len(by_proxy.rows()) == len(ordinary.rows())


@dataclass(frozen=True)
class Row:
    """The row of a job, as far as it has to be the same: the job, and the attributes that both ways write."""

    job: Job
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, by: Client, answer: Answer) -> Row:
        """Read the one that a submit was answered with."""
        key = {"pk": {"S": f"{by.tenant}#{json.loads(answer.text)['id']}"}, "sk": {"S": "job"}}
        item = by.dynamodb.get_item(TableName=by.running.settings.table, Key=key, ConsistentRead=True)["Item"]
        # shares of a shard, not which one; and what a request means beside what it says is not kept by the proxy
        job = replace(decode_job(item), tenant="", id="", due_shard="", meant=None)
        assert item["due_shard"]["S"] in {f"due-{number}" for number in range(by.running.settings.due_shards)}
        own = {"pk", "tenant", "due_shard", "request", "input", "digest", "meant", "metadata"}
        return cls(job, {name: value for name, value in item.items() if name not in own})


def comparable(answer: Answer) -> Any:
    """The body, without what is another for each request: an id that no key gave, and that of the request."""
    body = json.loads(answer.text)
    text = json.dumps({**body, "request_id": None} if "request_id" in body else body, sort_keys=True)
    return answer.status, re.sub(r"job_(?!k-)[A-Za-z0-9_-]+", "job_any", text)


def headers_of(answer: Answer) -> dict[str, str]:
    """The headers, without those of the connection, and of the request."""
    shown = {name.lower(): value for name, value in answer.headers.items()}
    assert "x-request-id" in shown
    return {
        name: re.sub(r"job_(?!k-)[A-Za-z0-9_-]+", "job_any", value)
        for name, value in shown.items()
        if name not in OF_CONNECTION
    }


def test_a_key_is_one_job_whichever_way_it_comes(deployment: Deployment) -> None:
    by_proxy = deployment.by_proxy()
    ordinary = replace(by_proxy, proxied=None)
    headers = {"Content-Type": "application/json", "Idempotency-Key": "once"}
    submit = Submit(b'{"type": "letters.send", "input": {"text": "a"}}', headers)
    another = Submit(b'{"type": "letters.send", "input": {"text": "b"}}', headers)
    first = by_proxy.submit(submit)
    deployment.clock.now += 1
    assert (first.status, by_proxy.carried) == (202, 1)
    for again in (by_proxy, ordinary):
        answer = again.submit(submit)
        assert (answer.status, answer.headers["idempotent-replayed"]) == (202, "true")
        assert json.loads(answer.text) == json.loads(first.text)
        refused = again.submit(another)
        assert (refused.status, json.loads(refused.text)["code"]) == (422, "idempotency-key-reused")
    # and the other way round
    headers["Idempotency-Key"] = "other"
    made = ordinary.submit(submit)
    deployment.clock.now += 1
    assert json.loads(by_proxy.submit(submit).text)["id"] == json.loads(made.text)["id"]
    assert (by_proxy.carried, len(by_proxy.rows())) == (1, 2)


def test_tenants_with_limits_or_webhooks_are_led_to_the_service(deployment: Deployment) -> None:
    limited, notified, free = (deployment.by_proxy() for _ in range(3))
    running = deployment.running
    running.worker.send(change_limits(running.settings.table, limited.tenant, {"jobs_waiting": 1}))
    endpoint = {"url": "https://example.com/hook", "events": ["job.succeeded"]}
    assert notified.http.post("/v1/webhook-endpoints", json=endpoint, headers=notified.authorization).status_code == 201
    submit = Submit(b'{"type": "letters.send", "input": {"text": "a"}}', {"Content-Type": "application/json"})
    assert [limited.submit(submit).status for _ in range(2)] == [202, 429]
    assert [one.submit(submit).status for one in (notified, free)] == [202, 202]
    assert [one.carried for one in (limited, notified, free)] == [0, 0, 1]


def test_what_no_parser_agrees_on_is_a_job_that_fails_alone(deployment: Deployment) -> None:
    """A body that a model lets pass, but that is none of a submit, cannot harm who reads the row."""
    by_proxy = deployment.by_proxy()
    inputs = (b'{"text": "\\ud800"}', b'{"text": "a", "numbers": [1e999]}')
    bodies = [b'{"type": "letters.send", "input": %s}' % given for given in inputs]
    for body in bodies:
        answer = by_proxy.submit(Submit(body, {"Content-Type": "application/json"}))
        assert answer.status == 202, answer.text
    assert by_proxy.carried == len(bodies)
    run(deployment, by_proxy)
    assert [decode_job(row).status for row in by_proxy.rows().values()] == ["failed"] * len(bodies)


def test_proxied_jobs_run_to_their_end(deployment: Deployment) -> None:
    by_proxy = deployment.by_proxy()
    texts = ["it's", "日本語 😀", "10.00"]
    for text in texts:
        body = json.dumps({"type": "letters.send", "input": {"text": text, "numbers": [10.0]}}).encode()
        assert by_proxy.submit(Submit(body, {"Content-Type": "application/json"})).status == 202
    assert by_proxy.carried == len(texts)
    run(deployment, by_proxy)
    found = []
    for job_id in by_proxy.rows():
        result = by_proxy.http.get(f"/v1/jobs/{job_id}/result", headers=by_proxy.authorization)
        assert result.status_code == 200, result.text
        found.append(result.json())
    assert sorted(one["text"] for one in found) == sorted(texts)
    assert {tuple(one["numbers"]) for one in found} == {(10.0,)}
    # and what is deleted is gone with the request that the row kept
    for job_id in by_proxy.rows():
        url = f"/v1/jobs/{job_id}"
        assert by_proxy.http.delete(url, headers=by_proxy.authorization).status_code == 204
        assert by_proxy.http.get(url, headers=by_proxy.authorization).status_code == 410
    assert not any("request" in row for row in by_proxy.rows().values())


def test_the_sweeper_sends_what_the_dispatcher_did_not(deployment: Deployment) -> None:
    by_proxy = deployment.by_proxy()
    body = b'{"type": "letters.send", "input": {"text": "lost"}}'
    assert by_proxy.submit(Submit(body, {"Content-Type": "application/json"})).status == 202
    deployment.clock.now += 2 * MINUTE
    drop_messages(deployment)
    sweep(deployment.worker(), until=deployment.clock.now + MINUTE)
    work(deployment, by_proxy)
    (row,) = by_proxy.rows().values()
    assert decode_job(row).status == "succeeded"


def run(deployment: Deployment, client_: Client) -> None:
    """Let the dispatcher see the tenant's rows, as the table's stream shows them, and a worker run its jobs."""
    drop_messages(deployment)
    images = [{name: streamed(value) for name, value in row.items()} for row in client_.rows().values()]
    records = [{"eventName": "INSERT", "dynamodb": {"NewImage": image}} for image in images]
    dispatch_rows(deployment.running.worker, deployment.running.settings, {"Records": records})
    work(deployment, client_)


def drop_messages(deployment: Deployment) -> None:
    """Empty the queue: the service has put the jobs of other tests there."""
    queue = deployment.running.settings.queues["default"]
    while received := deployment.running.worker.send(receive(queue, wait=0, limit=10)):
        deployment.running.worker.send(delete_batch(received))


def work(deployment: Deployment, client_: Client) -> None:
    """Let a worker run jobs until those of the tenant are done."""
    poller = Poller(deployment.worker(), deployment.running.settings.queues["default"], grace=0)
    for _ in range(200):
        if all(decode_job(row).done for row in client_.rows().values()):
            return
        step(poller)


def streamed(value: Mapping[str, Any]) -> dict[str, Any]:
    """An attribute as Lambda's event has it: bytes are base64."""
    return {k: base64.b64encode(bytes(held)).decode() if k == "B" else held for k, held in value.items()}

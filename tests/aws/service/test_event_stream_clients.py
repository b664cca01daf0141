"""Clients, of others and ours, follow a job, lose the connection again and again, and miss and repeat nothing."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import connect_sse

from coatcheck import Client
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from tests.aws.service.cutting_proxy import cutting_proxy
from tests.aws.service.retried_job import retried_job
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.repository import ROOT

Followed: TypeAlias = list[tuple[str, str]]
"""The id and the data of each event that a client got."""

CUTS = 10
RETRIES = 14
MAX_CUT = 900
"""Bytes: all events together have several times as many, as have the headers of one answer about 350."""

NODE_SIDE = Path(__file__).parents[2] / "node" / "follow_events.mjs"


def curl(url: str, key: str) -> Followed:
    """`curl -N`, started again with the last id until there is nothing more."""
    followed: Followed = []
    while True:
        last = ["-H", f"Last-Event-ID: {followed[-1][0]}"] if followed else []
        headers = ["-H", "Accept: text/event-stream", "-H", f"Authorization: Bearer {key}", *last]
        ran = subprocess.run(
            ["curl", "-sN", "-w", "%{stderr}%{http_code}", *headers, url], capture_output=True, text=True, check=False
        )
        if ran.stderr == "204":
            return followed
        # what follows the last empty line was cut off: it is no event
        for block in ran.stdout.split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                followed.append((fields["id"], fields["data"]))


def httpx_sse(url: str, key: str) -> Followed:
    """httpx-sse, which leaves it to its user to connect again."""
    followed: Followed = []
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60) as client:
        while True:
            headers = {"Last-Event-ID": followed[-1][0]} if followed else {}
            try:
                with connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code == 204:
                        return followed
                    followed += ((event.id, event.data) for event in source.iter_sse() if event.data)
            except httpx.TransportError:
                continue


def eventsource(url: str, key: str) -> Followed:
    """The EventSource of npm, which connects again by itself, as those of browsers do."""
    ran = subprocess.run(
        ["node", NODE_SIDE, url, key], cwd=ROOT / ".coatcheck" / "node", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [(event_id, data) for event_id, data in map(json.loads, ran.stdout.splitlines())]


def our_client(url: str, key: str) -> Followed:
    """`Client.follow`, which connects again by itself."""
    server, _, path = url.partition("/v1/jobs/")
    with Client(server, key) as client:
        return [(event["id"], json.dumps(event)) for event in client.follow(path.partition("/")[0])]


@contextmanager
def two_services(settings: Settings, aws: Transport, emulator_url: str) -> Iterator[tuple[Api, list[int]]]:
    """Two services that share the stores and nothing else, and their ports."""
    with (
        run_service(settings, aws, emulator_url) as one,
        run_service(settings, aws, emulator_url) as two,
        clients_of(one) as api,
    ):
        two.settings.api_keys.update(one.settings.api_keys)
        yield api, [urlsplit(service.url).port or 0 for service in (one, two)]


@pytest.mark.parametrize(
    "follow", [curl, httpx_sse, eventsource, our_client], ids=["curl", "httpx-sse", "eventsource", "ours"]
)
def test_nothing_is_missed_and_nothing_comes_twice(
    settings: Settings, aws: Transport, emulator_url: str, follow: Callable[[str, str], Followed]
) -> None:
    cuts = [random.Random(number).randrange(1, MAX_CUT) for number in range(CUTS)]
    with (
        two_services(settings, aws, emulator_url) as (api, ports),
        cutting_proxy(ports, cuts) as proxy,
        ThreadPoolExecutor(1) as pool,
    ):
        job_id = api.submit()["id"]
        key = api.http.headers["authorization"].removeprefix("Bearer ")
        ended = pool.submit(retried_job, api, RETRIES, job_id=job_id, pause=0.3)
        followed = follow(f"{proxy.url}/v1/jobs/{job_id}/events", key)
        ended.result()
        listed = api.http.get(f"/v1/jobs/{job_id}/events").json()["data"]
        assert proxy.done == CUTS
        assert [event_id for event_id, _ in followed] == [event["id"] for event in listed]
        assert [json.loads(data) | {"error": None} for _, data in followed] == [e | {"error": None} for e in listed]
        assert len(followed) == 2 * RETRIES + 3

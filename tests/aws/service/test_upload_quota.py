"""How many bytes a tenant may announce in a day, and what it is told when they are used up."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import DAY, HOUR, SECOND, system_clock
from coatcheck.core.settings import Settings
from tests.aws.service.running_service import Api, clients_of, problem, run_service
from tests.transports import Fault, on, repeat

GB = 1024**3
MB = 1024**2


@dataclass
class Clock:
    """Shows the time of a day that is to come, until it is moved."""

    now: int

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """An hour before midnight, tomorrow: nobody has announced anything on that day."""
    tomorrow = system_clock() // DAY + 1
    return Clock((tomorrow + 1) * DAY - HOUR)


@pytest.fixture
def api(emulator_url: str, settings: Settings, aws: Transport, clock: Clock) -> Iterator[Api]:
    """A service that takes 1 GB a day."""
    stores = settings.model_copy(update={"upload_gb_per_day": 1})
    with run_service(stores, aws, emulator_url, clock=clock) as running_service, clients_of(running_service) as clients:
        yield clients


def create_upload(client: httpx.Client, size: int, **more: Any) -> httpx.Response:
    return client.post("/v1/uploads", json={"filename": "a.bin", "size": size} | more)


def test_a_day_is_full_to_the_last_byte_and_no_further(api: Api, clock: Clock) -> None:
    assert create_upload(api.http, GB - 1).status_code == 201
    reply = problem(create_upload(api.http, 2), 429, "upload-quota-exceeded")
    assert reply["detail"] == (f"This upload has 2 bytes, and {GB - 1} of {GB} bytes are used since midnight (UTC).")
    assert reply["retryable"] is True
    assert create_upload(api.http, 1).status_code == 201
    assert create_upload(api.http, 0).status_code == 201
    refused = create_upload(api.http, 1)
    problem(refused, 429, "upload-quota-exceeded")
    assert refused.headers["retry-after"] == str(HOUR // SECOND)
    assert create_upload(api.other, GB).status_code == 201

    clock.now += HOUR - 1
    assert create_upload(api.http, 1).headers["retry-after"] == "1"
    clock.now += 1
    assert create_upload(api.http, GB).status_code == 201


def test_what_never_fits_is_no_matter_of_waiting(api: Api) -> None:
    reply = problem(create_upload(api.http, GB + 1), 422, "invalid-request")
    assert reply["errors"] == [{"pointer": "/size", "detail": f"is more than the daily upload quota of {GB} bytes"}]
    assert create_upload(api.http, GB).status_code == 201


def test_announcements_at_the_same_time_do_not_exceed_it(api: Api) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: create_upload(api.http, 100 * MB), range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [429] * 10


def test_what_is_refused_leaves_nothing(api: Api) -> None:
    assert create_upload(api.http, GB).status_code == 201
    api.spy.calls.clear()
    problem(create_upload(api.http, 100 * MB, multipart=True), 429, "upload-quota-exceeded")
    assert api.spy.operations == ["ListMultipartUploads", "UpdateItem"]


def test_an_addition_whose_reply_is_lost_may_count_twice(api: Api) -> None:
    api.spy.faults.append(Fault(repeat, on("UpdateItem")))
    assert create_upload(api.http, GB // 2).status_code == 201
    problem(create_upload(api.http, 1), 429, "upload-quota-exceeded")

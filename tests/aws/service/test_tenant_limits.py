"""The limits of a tenant that concern uploads and webhooks, and when a change of them holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.usage_items import usage_key
from coatcheck.core.clock import HOUR, SECOND
from coatcheck.core.settings import Settings
from coatcheck.core.tenant_limits import TTL, WEBHOOK_TESTS_PER_HOUR
from coatcheck_infra.local.resources import client
from tests.aws.service.limits_harness import LimitedApi, limited_api
from tests.aws.service.running_service import problem
from tests.aws.service.test_webhooks import ALL, create

# both emulators keep the items alike (tests/aws/test_limit_items.py, test_usage_buckets.py)
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")


@pytest.fixture
def limited(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[LimitedApi]:
    with limited_api(emulator_url, settings, aws) as limited:
        yield limited


def test_uploads_of_a_day(limited: LimitedApi) -> None:
    limited.limit(upload_bytes_per_day=1000)
    http = limited.api.http
    assert http.post("/v1/uploads", json={"filename": "a", "size": 999}).status_code == 201
    problem(http.post("/v1/uploads", json={"filename": "a", "size": 2}), 429, "upload-quota-exceeded")
    problem(http.post("/v1/uploads", json={"filename": "a", "size": 1001}), 422, "invalid-request")
    limited.limit(upload_bytes_per_day=None)
    assert http.post("/v1/uploads", json={"filename": "a", "size": 1001}).status_code == 201
    limited.limit(upload_bytes_per_day=0)
    problem(http.post("/v1/uploads", json={"filename": "a", "size": 1}), 422, "invalid-request")


def test_webhook_endpoints(limited: LimitedApi) -> None:
    limited.limit(webhook_endpoints=1)
    create(limited.api)
    limited.clock.now += 1
    reply = problem(limited.api.http.post(ALL, json={"url": "https://b.example.com/"}), 409, "too-many-endpoints")
    assert reply["detail"] == "A tenant may have 1 webhook endpoints."


def test_pings_of_an_hour(limited: LimitedApi) -> None:
    limited.limit(webhook_tests_per_hour=2)
    test = f"{ALL}/{create(limited.api)['id']}/test"
    http = limited.api.http
    assert [http.post(test).status_code for _ in range(2)] == [202, 202]
    refused = http.post(test)
    reply = problem(refused, 429, "too-many-webhook-tests")
    assert reply["detail"] == "2 test pings and resends an hour are allowed."
    assert refused.headers["Retry-After"] == str(HOUR // SECOND // 2)
    limited.clock.now += HOUR // 2
    assert http.post(test).status_code == 202
    limited.limit(webhook_tests_per_hour=0)
    refused = http.post(test)
    problem(refused, 429, "too-many-webhook-tests")
    assert refused.headers["Retry-After"] == "3600"


def test_a_resend_counts_like_a_ping_but_not_one_that_changes_nothing(limited: LimitedApi) -> None:
    limited.limit(webhook_tests_per_hour=1)
    http, endpoint = limited.api.http, create(limited.api)["id"]
    made = http.post(f"{ALL}/{endpoint}/test").json()["id"]
    resend = f"{ALL}/{endpoint}/deliveries/{made}/resend"
    # it is due already
    assert http.post(resend).status_code == 202
    problem(http.post(f"{ALL}/{endpoint}/deliveries/dlv_none/resend"), 404, "not-found")
    problem(http.post(f"{ALL}/{endpoint}/test"), 429, "too-many-webhook-tests")


def test_pings_are_limited_without_a_limit_of_the_tenant_too(limited: LimitedApi) -> None:
    assert limited.api.http.post(f"{ALL}/{create(limited.api)['id']}/test").status_code == 202
    stores = limited.api.running_service
    key = usage_key(limited.api.tenant)
    found = client("dynamodb", stores.endpoint_url).get_item(TableName=stores.settings.table, Key=key)["Item"]
    # the bucket lacks one ping
    assert int(found["webhook_tests"]["N"]) == (limited.clock.now + HOUR // WEBHOOK_TESTS_PER_HOUR) * 1000


def test_a_change_holds_in_half_a_minute_and_not_before_it_was_read(limited: LimitedApi) -> None:
    http = limited.api.http
    assert http.post("/v1/uploads", json={"filename": "a", "size": 5}).status_code == 201
    limited.limit(upload_bytes_per_day=4)
    limited.clock.now -= 1
    assert http.post("/v1/uploads", json={"filename": "a", "size": 5}).status_code == 201
    limited.clock.now += 1
    problem(http.post("/v1/uploads", json={"filename": "a", "size": 5}), 422, "invalid-request")
    assert TTL == 30 * SECOND


def test_the_highest_priority(limited: LimitedApi) -> None:
    limited.limit(priority_max="normal")
    assert limited.api.submit(priority="normal")["priority"] == "normal"
    refused = problem(limited.api.post(priority="high"), 422, "invalid-request")
    assert refused["errors"] == [
        {"pointer": "/priority", "detail": "is more than normal, the highest that you may ask for"}
    ]


def test_a_job_without_a_priority_has_what_is_allowed(limited: LimitedApi) -> None:
    limited.limit(priority_max="low")
    assert limited.api.submit()["priority"] == "low"
    problem(limited.api.post(priority="normal"), 422, "invalid-request")

"""Which URLs the service takes for webhooks: by its setting, and never itself."""

from __future__ import annotations

import json

import pytest

from coatcheck.authoring.types import Catalog
from coatcheck.core.settings import Settings
from coatcheck_service.actions.webhook_urls import url_errors
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import UVICORN
from coatcheck_service.http.authentication import RequestContext

QUEUES = json.dumps({"webhooks": "-"})
NOTHING: Catalog = {}


def context(base_url: str, host: str, targets: str) -> RequestContext:
    stores = {"table": "-", "bucket": "-", "queues": QUEUES, "dead_letters": QUEUES, "webhook_key": "-"}
    settings = Settings.model_validate(stores | {"webhook_targets": targets})
    return RequestContext("t", base_url, Dependencies(settings, NOTHING, AioBotoTransport(), UVICORN), host)


PUBLIC = ("https://jobs.example.com/live", "abc.execute-api.us-east-1.amazonaws.com", "public")
LOCAL = ("http://127.0.0.1:8000", "localhost:8000", "local")


@pytest.mark.parametrize(
    ("where", "url"),
    [
        (PUBLIC, "https://hooks.example.com/"),
        (PUBLIC, "https://hooks.example.com:8443/"),
        (LOCAL, "http://127.0.0.1:9000/"),
        (LOCAL, "http://localhost:9000/"),
        (LOCAL, "https://hooks.example.com/"),
    ],
)
def test_others_may_be_called(where: tuple[str, str, str], url: str) -> None:
    assert url_errors(context(*where), url, "/url") == []


@pytest.mark.parametrize(
    ("where", "url"),
    [
        (PUBLIC, "http://hooks.example.com/"),
        (PUBLIC, "http://127.0.0.1:9000/"),
        (PUBLIC, "https://jobs.example.com/"),
        (PUBLIC, "https://JOBS.example.com.:8443/v1/jobs"),
        (PUBLIC, "https://abc.execute-api.us-east-1.amazonaws.com/live/v1/jobs"),
        (LOCAL, "http://127.0.0.1:8000/v1/jobs"),
        (LOCAL, "http://localhost:8000/"),
        (LOCAL, "http://[::1]:8000/"),
        (LOCAL, "http://10.0.0.1/"),
        (LOCAL, "http://169.254.169.254/"),
    ],
)
def test_itself_and_what_is_inside_may_not(where: tuple[str, str, str], url: str) -> None:
    (error,) = url_errors(context(*where), url, "/webhook/url")
    assert error.pointer == "/webhook/url"
    assert error.detail.startswith("webhook url: ")

"""Which URLs the service takes for webhooks: by its setting, and never itself."""

from __future__ import annotations

import json

import pytest

from coatcheck.deployment import Deployment
from coatcheck.types import Catalog
from service.aws import AioBoto
from service.caller import Caller
from service.front_door import UVICORN
from service.targets import flaws_in
from service.tools import Tools

QUEUES = json.dumps({"webhooks": "-"})
NOTHING: Catalog = {}


def caller(base_url: str, host: str, targets: str) -> Caller:
    stores = {"table": "-", "bucket": "-", "queues": QUEUES, "dead_letters": QUEUES, "webhook_key": "-"}
    deployment = Deployment.model_validate(stores | {"webhook_targets": targets})
    return Caller("t", base_url, Tools(deployment, NOTHING, AioBoto(), UVICORN), host)


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
    assert flaws_in(caller(*where), url, "/url") == []


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
    (flaw,) = flaws_in(caller(*where), url, "/webhook/url")
    assert flaw.pointer == "/webhook/url"
    assert flaw.detail.startswith("webhook url: ")

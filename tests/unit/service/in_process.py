"""The service in this process, on an AWS that fails."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from coatcheck.authoring.types import Catalog
from coatcheck.core.aws.call import AwsRefused, AwsUnavailable, Call, Presign, PresignedUrl
from coatcheck.core.settings import Settings
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN, FrontDoor
from tests.example_jobs import CATALOG

T = TypeVar("T")

KEY = "k"
KEY_DIGEST = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
QUEUES = json.dumps({"default": "-", "webhooks": "-"})


class FailingTransport:
    """AWS, from which nothing comes back but this."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    async def send(self, call: Call[T]) -> T:
        if issubclass(self._error, (AwsUnavailable, AwsRefused)):
            raise self._error(call, "SecretCode")
        raise self._error("secret words")

    async def presign(self, presign: Presign) -> PresignedUrl:
        raise NotImplementedError(presign)

    async def aclose(self) -> None:
        pass


def app(
    error: type[Exception] = RuntimeError,
    catalog: Catalog = CATALOG,
    front_door: FrontDoor = UVICORN,
    **settings: Any,
) -> FastAPI:
    """The service on an AWS that fails."""
    made = Settings.model_validate(
        {
            "table": "t",
            "bucket": "b",
            "queues": QUEUES,
            "dead_letters": QUEUES,
            "webhook_key": "-",
            "api_keys": json.dumps({KEY_DIGEST: "alpha"}),
        }
        | settings
    )
    return create_app(made, catalog, FailingTransport(error), front_door, entropy=lambda n: b"\1" * n)


def client(served: FastAPI) -> httpx.AsyncClient:
    """A client of the app in this process."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://api", headers=headers)

"""The service in this process, on an AWS that fails."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from coatcheck.calls import AwsRefused, AwsUnavailable, Call, Presign, Signed
from coatcheck.deployment import Deployment
from coatcheck.types import Catalog
from jobs.catalog import CATALOG
from service.app import create_app
from service.front_door import UVICORN

T = TypeVar("T")

KEY = "k"
KEY_DIGEST = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
QUEUES = json.dumps({"default": "-", "webhooks": "-"})


class Broken:
    """AWS, from which nothing comes back but this."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    async def send(self, call: Call[T]) -> T:
        if issubclass(self._error, (AwsUnavailable, AwsRefused)):
            raise self._error(call, "SecretCode")
        raise self._error("secret words")

    async def presign(self, presign: Presign) -> Signed:
        raise NotImplementedError(presign)

    async def aclose(self) -> None:
        pass


def app(error: type[Exception] = RuntimeError, catalog: Catalog = CATALOG, **settings: Any) -> FastAPI:
    """The service on an AWS that fails."""
    made = Deployment.model_validate(
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
    return create_app(made, catalog, Broken(error), UVICORN, entropy=lambda n: b"\1" * n)


def client(served: FastAPI) -> httpx.AsyncClient:
    """A client of the app in this process."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://api", headers=headers)

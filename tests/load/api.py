"""The API under uvicorn, with the catalog and the door of the load test."""

from __future__ import annotations

import os

from fastapi import FastAPI

from coatcheck.deployment import Deployment
from coatcheck.log import configure
from service.app import create_app
from service.front_door import UVICORN
from tests.load.doors import AsyncFaulty
from tests.load.work import CATALOG


def app() -> FastAPI:
    """The app that the environment asks for."""
    deployment = Deployment.from_env(os.environ)
    configure(deployment.log)
    return create_app(deployment, CATALOG, AsyncFaulty(), UVICORN)

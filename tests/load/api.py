"""The API under uvicorn, with the catalog and the door of the load test."""

from __future__ import annotations

import os

from fastapi import FastAPI

from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from tests.load.faulty_transports import connect_async
from tests.load.job_type import CATALOG


def app() -> FastAPI:
    """The app that the environment asks for."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    return create_app(settings, CATALOG, connect_async(), UVICORN)

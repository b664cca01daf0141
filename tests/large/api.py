"""The API under uvicorn, with the job types of the large files."""

from __future__ import annotations

import os

from fastapi import FastAPI

from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from tests.large.job_types import CATALOG


def app() -> FastAPI:
    """The app that the environment asks for."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    return create_app(settings, CATALOG, AioBotoTransport.from_env(os.environ), UVICORN)

"""The API under uvicorn, with the job types of the large files."""

from __future__ import annotations

import os

from fastapi import FastAPI

from coatcheck.deployment import Deployment
from coatcheck.log import configure
from service.app import create_app
from service.aws import AioBoto
from service.front_door import UVICORN
from tests.large.work import CATALOG


def app() -> FastAPI:
    """The app that the environment asks for."""
    deployment = Deployment.from_env(os.environ)
    configure(deployment.log)
    return create_app(deployment, CATALOG, AioBoto.from_env(os.environ), UVICORN)

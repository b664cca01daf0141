"""The API under uvicorn: `uvicorn --factory service.main:app`."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

from botocore.exceptions import BotoCoreError
from fastapi import FastAPI

from coatcheck.deployment import BadSettings, Deployment
from coatcheck.log import configure
from jobs.catalog import CATALOG
from service.app import create_app
from service.aws import AioBoto
from service.front_door import UVICORN
from service.garbage import keep_what_is_there

log = logging.getLogger(__name__)


def app() -> FastAPI:
    """The app that the environment asks for; ends the process with one line when the environment is wrong."""
    try:
        deployment = Deployment.from_env(os.environ)
        aws = AioBoto.from_env(os.environ)
        made = create_app(deployment, CATALOG, aws, UVICORN, on_start=partial(_make_ready, aws))
    except BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet, and nobody to log for
        raise SystemExit(2) from None
    configure(deployment.log)
    _hush_uvicorn()
    return made


async def _make_ready(aws: AioBoto) -> None:
    try:
        await aws.open()
    except (BotoCoreError, OSError) as error:
        # made when they are needed, then
        log.warning("no AWS clients yet: %s", type(error).__name__)
    keep_what_is_there()


def _hush_uvicorn() -> None:
    """One line for each request is enough, and it is ours; uvicorn's other lines go where all go."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"

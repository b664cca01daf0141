"""The API under uvicorn: `uvicorn --factory coatcheck_service.main:app`.

On Lambda, where uvicorn gets its requests from the Lambda Web Adapter, it serves the routes of tenants alone.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

from botocore.exceptions import BotoCoreError
from starlette.types import ASGIApp

from coatcheck.authoring.loading import JobTypeError, load_job_types
from coatcheck.authoring.types import Catalog
from coatcheck.aws_transport.protocols import OpenableTransport
from coatcheck.core.log import configure
from coatcheck.core.settings import BadSettings, Settings
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import pump_for_lambda, start_pump
from coatcheck_service.app import TENANT_ROUTERS, build_app, create_app
from coatcheck_service.aws import connect
from coatcheck_service.front_door import STREAMED, UVICORN
from coatcheck_service.gc_freeze import freeze_heap
from coatcheck_service.lambda_web_adapter import behind_web_adapter
from coatcheck_service.public_path import below_public_url
from coatcheck_service.routes.frequent import DIRECT_ROUTES

log = logging.getLogger(__name__)

ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
"""The variable that Lambda sets for each function."""


def app() -> ASGIApp:
    """Build the app from the environment. If that is wrong, print one line and end the process."""
    try:
        settings = Settings.from_env(os.environ)
        transport = connect(os.environ)
        catalog = load_job_types(settings.job_modules)
        make = _make_for_lambda if ON_LAMBDA in os.environ else _make
        application = make(settings, catalog, transport)
    except (BadSettings, JobTypeError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet, and nobody to log for
        raise SystemExit(2) from None
    configure(settings.log)
    if settings.api_keys:
        log.warning("COATCHECK_API_KEYS is read for the last time: copy its keys with `coatcheck keys import`")
    _configure_uvicorn_logging()
    return application


def _make(settings: Settings, catalog: Catalog, transport: OpenableTransport) -> ASGIApp:
    pump = start_pump(settings)
    whole = create_app(
        settings,
        catalog,
        transport,
        UVICORN,
        on_start=partial(_warm_up, transport),
        # uvicorn ends the process by the signal that it got: nothing that is left to the interpreter's end is done
        on_stop=pump.flush,
        tracer=installed_tracer(),
    )
    return below_public_url(whole, settings.public_url)


def _make_for_lambda(settings: Settings, catalog: Catalog, transport: OpenableTransport) -> ASGIApp:
    # what is loaded before the snapshot is in it; without one, the first request that needs an SDK loads it
    snapshot = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
    on_start = partial(_warm_up, transport) if snapshot else _freeze
    tenants = build_app(
        TENANT_ROUTERS,
        settings,
        catalog,
        transport,
        STREAMED,
        direct=DIRECT_ROUTES,
        on_start=on_start,
        tracer=installed_tracer(),
    )
    return behind_web_adapter(tenants, settings.public_url, pump_for_lambda(settings))


async def _warm_up(transport: OpenableTransport) -> None:
    try:
        await transport.open()
    except (BotoCoreError, OSError) as error:
        # they are made when first needed
        log.warning("no AWS clients yet: %s", type(error).__name__)
    freeze_heap()


async def _freeze() -> None:
    freeze_heap()


def _configure_uvicorn_logging() -> None:
    """Drop uvicorn's access log, as we log each request ourselves; send its other lines where all lines go."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"

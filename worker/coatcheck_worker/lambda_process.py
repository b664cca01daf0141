"""What a Lambda function of the worker's makes once, and keeps between invocations."""

from __future__ import annotations

import functools
import os
import random

from coatcheck.core.clock import system_clock
from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import MetricsPump, pump_for_lambda
from coatcheck_worker.aws import connect
from coatcheck_worker.dependencies import Dependencies


@functools.cache
def dependencies() -> Dependencies:
    """The dependencies of a function that runs no handlers."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    return Dependencies(connect(), settings, clock=system_clock, roll=random.random, tracer=installed_tracer())


@functools.cache
def metrics() -> MetricsPump:
    """What writes the metrics of this container, at the end of each invocation."""
    return pump_for_lambda(Settings.from_env(os.environ))

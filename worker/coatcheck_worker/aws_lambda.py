"""The worker as a Lambda function."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.clock import SECOND
from coatcheck.core.log import log_context
from coatcheck.core.trace import parse_xray
from coatcheck_worker import lambda_process, memory
from coatcheck_worker.aws import s3_signer
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.message_consumer import log_context_of
from coatcheck_worker.process_isolation import hide_memory
from coatcheck_worker.sqs_batch import BatchReport, message_id_of, received_messages, report
from coatcheck_worker.supervisor.forkserver_client import ForkserverClient
from coatcheck_worker.supervisor.handler_environment import handler_environment
from coatcheck_worker.supervisor.job_messages import handle
from coatcheck_worker.supervisor.runner_pool import RunnerPool

log = logging.getLogger(__name__)

TRACE_HEADER = "_X_AMZN_TRACE_ID"
"""Lambda sets this variable for each invocation: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

MARGIN = 15 * SECOND
"""Time reserved before the Lambda's own deadline: to stop a handler, settle and end before Lambda kills the process."""

SUPERVISOR_MEMORY = 128
"""MB of the function's memory that its runner may not take: its own process needs them to settle the job."""


def run(event: dict[str, Any], context: Any) -> BatchReport:
    """SQS event source: run each record's job."""
    dependencies = _worker_dependencies()
    deadline = dependencies.clock() + context.get_remaining_time_in_millis() - MARGIN
    with lambda_process.metrics().flushing():
        return run_batch(dependencies, event, deadline=deadline)


def run_batch(dependencies: Dependencies, event: object, *, deadline: int) -> BatchReport:
    """Run the job of each record, one after the other. Returns which are to be received again; raises nothing."""
    return report(
        message_id_of(one)
        for one in received_messages(dependencies.settings, event)
        if isinstance(one, str) or not _handled(dependencies, one, deadline)
    )


def _handled(dependencies: Dependencies, received: ReceivedMessage, deadline: int) -> bool:
    """Process a message. Returns True if Lambda may delete it."""
    trace = parse_xray(os.environ.get(TRACE_HEADER, ""))
    with log_context_of(dependencies, received), log_context(trace_id=trace.trace_id if trace else None):
        try:
            return handle(dependencies, received, deadline=deadline)
        except AwsError:
            log.exception("message %s: AWS did not answer; it will come again", received.message_id)
        except Exception:
            log.exception("message %s: it will come again", received.message_id)
        return False


@functools.cache
def _worker_dependencies() -> Dependencies:
    """The dependencies of the worker, made once per container: one runner, which is kept between invocations."""
    hide_memory()
    dependencies = lambda_process.dependencies()
    settings = dependencies.settings
    environment = handler_environment(dependencies.transport, settings)
    # Lambda's own start adds the folders of the function and of its layers
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    # it imports the job types while this process makes another client
    forkserver = ForkserverClient(environment, megabytes=_runner_megabytes(os.environ))
    return replace(dependencies, runners=RunnerPool(forkserver), sign=s3_signer(settings.bucket))


def _runner_megabytes(environ: Mapping[str, str]) -> int:
    return max(memory.MIN_MEMORY, int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")) - SUPERVISOR_MEMORY)

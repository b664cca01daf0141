"""`python -m coatcheck_worker.supervisor --lane LANE`: work off one lane. Ends on SIGTERM, when its jobs have ended.

It runs no code of an owner's. `python -m coatcheck_worker` starts one for each lane.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Callable

from coatcheck.authoring.loading import JobTypeError
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import system_clock
from coatcheck.core.log import configure
from coatcheck.core.settings import WEBHOOKS, BadSettings, Settings
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import start_pump
from coatcheck_worker.aws import connect, s3_signer
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.process_isolation import hide_memory
from coatcheck_worker.process_signals import drain_on_signals
from coatcheck_worker.supervisor.forkserver_client import FORKSERVER, ForkserverClient
from coatcheck_worker.supervisor.handler_environment import handler_environment
from coatcheck_worker.supervisor.poller import Poller
from coatcheck_worker.supervisor.runner_pool import RunnerPool
from coatcheck_worker.supervisor.task_protection import TASK_AGENT, TaskProtection


def main(forkserver: str = FORKSERVER, make_transport: Callable[[], Transport] = connect) -> None:
    """Work off a lane. `forkserver` is the module that starts runners; `make_transport` makes the transport to AWS."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.supervisor")
    parser.add_argument("--lane", required=True)
    parser.add_argument("--runners", type=int, default=1, help="jobs that run at a time, each in a process")
    parser.add_argument("--grace", type=float, default=25.0, help="seconds that jobs are given on SIGTERM")
    parser.add_argument("--memory", type=int, required=True, help="MB that a runner may take")
    parser.add_argument("--spare", action="store_true", help="have ECS spare this container while a job runs")
    options = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    if options.lane == WEBHOOKS:
        sys.exit(f"lane {WEBHOOKS} has no jobs: it is worked off by python -m coatcheck_worker.webhooks")
    if options.lane not in settings.lanes:
        sys.exit(f"no lane {options.lane!r}; COATCHECK_QUEUES has: {', '.join(settings.lanes)}")
    configure(settings.log)
    hide_memory()
    transport = make_transport()
    try:
        start_pump(settings)
        client = ForkserverClient(handler_environment(transport, settings), megabytes=options.memory, module=forkserver)
        pool = RunnerPool(client)
    except (BadSettings, JobTypeError, OSError) as error:
        sys.exit(str(error))
    dependencies = Dependencies(
        transport,
        settings,
        clock=system_clock,
        roll=random.random,
        runners=pool,
        sign=s3_signer(settings.bucket),
        tracer=installed_tracer(),
    )
    poller = Poller(dependencies, settings.queues[options.lane], grace=options.grace, runners=options.runners)
    drain_on_signals(poller.drain)
    if options.spare and TASK_AGENT in os.environ:
        TaskProtection(os.environ[TASK_AGENT], lambda: not poller.idle).start()
    try:
        poller.work()
    finally:
        pool.close()


if __name__ == "__main__":
    main()

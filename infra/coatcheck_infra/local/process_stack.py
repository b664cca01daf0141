"""The default stack: the API, a worker and the sweeper as processes, with the emulator's stores."""

from __future__ import annotations

import asyncio
import json
import sys

from coatcheck_infra.local.processes import ProcessSpec
from coatcheck_infra.local.resources import create_stores
from coatcheck_infra.local.stack_context import PreparedStack, StackContext

SWEEP_EVERY = 2

DRAIN_SECONDS = 24 * 3600
"""How long a worker that is replaced, because code has changed, may finish its job: the longest timeout of a job."""


async def prepare_process_stack(stack: StackContext) -> PreparedStack:
    """Create the stores, and return the processes that use them."""
    stack.write_line("creating the table, the bucket, the queues and the secret of the template")
    made = await asyncio.to_thread(create_stores, stack.emulator.url, stack.template, stack.emulator.credentials)
    # lines of metrics are for CloudWatch, and nobody here
    local = {"COATCHECK_LOG": "text", "COATCHECK_METRICS": "off", "COATCHECK_PUBLIC_URL": stack.url}
    env = {**stack.env, **made, **local}
    lanes = [word for lane in json.loads(env["COATCHECK_QUEUES"]) for word in ("--lane", lane)]
    worker_env = env | stack.project.config.handlers.environment

    def python(name: str, *command: str) -> tuple[str, ...]:
        return (sys.executable, "-m", name, *command)

    listener = stack.listener
    api_env = env | {"COATCHECK_CORS_ORIGINS": ",".join(stack.project.config.api.cors_origins)}
    workers = ("--runners", str(stack.workers), "--grace", str(DRAIN_SECONDS))
    specs = [
        ProcessSpec(
            "api",
            python("coatcheck_infra.local.serve", "coatcheck_service.main:app", str(listener)),
            api_env,
            (listener,),
        ),
        ProcessSpec("worker", python("coatcheck_worker", *lanes, *workers), worker_env),
        ProcessSpec("sweeper", python("coatcheck_worker.sweep", "--every", str(SWEEP_EVERY)), env),
    ]
    return PreparedStack(specs, worker_env)

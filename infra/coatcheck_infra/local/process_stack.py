"""The default stack: the API, a worker and the sweeper as processes, with the emulator's stores."""

from __future__ import annotations

import asyncio
import json
import sys

from coatcheck_infra.local.processes import ProcessSpec
from coatcheck_infra.local.resources import create_stores
from coatcheck_infra.local.stack_context import WEBHOOK_TARGETS, StackContext, api_keys

SWEEP_EVERY = 2


async def process_stack_specs(stack: StackContext) -> list[ProcessSpec]:
    """Create the stores, and return the processes that use them."""
    stack.write_line("creating the table, the bucket, the queues and the secret of infra/coatcheck_infra/template.yaml")
    made = await asyncio.to_thread(create_stores, stack.emulator.url, stack.emulator.credentials)
    own = {
        "COATCHECK_JOBS": "jobs.tables,jobs.thumbnails,jobs.demo,coatcheck.authoring.ping",
        "COATCHECK_LOG": "text",
        "COATCHECK_PUBLIC_URL": stack.url,
        **WEBHOOK_TARGETS,
    }
    env = {**stack.env, **made, **own}
    lanes = [word for lane in json.loads(env["COATCHECK_QUEUES"]) for word in ("--lane", lane)]
    api_env = env | {"COATCHECK_API_KEYS": api_keys(stack.api_key)}

    def python(name: str, *command: str) -> tuple[str, ...]:
        return (sys.executable, "-m", name, *command)

    listener = stack.listener
    return [
        ProcessSpec(
            "api",
            python("coatcheck_infra.local.serve", "coatcheck_service.main:app", str(listener)),
            api_env,
            (listener,),
        ),
        ProcessSpec("worker", python("coatcheck_worker", *lanes, "--processes", str(stack.workers)), env),
        ProcessSpec("sweeper", python("coatcheck_worker.sweep", "--every", str(SWEEP_EVERY)), env),
    ]

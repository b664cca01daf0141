"""The default way of running: the API, a worker and the sweeper as processes, with the emulator's stores."""

from __future__ import annotations

import asyncio
import json
import sys

from infra.embedded.ground import WEBHOOK_TARGETS, Ground, api_keys
from infra.embedded.processes import Part
from infra.embedded.stack import make_stores

SWEEP_EVERY = 2


async def local_parts(ground: Ground) -> list[Part]:
    """Make the stores; the answer is what runs on them."""
    ground.say("making the table, the bucket, the queues and the secret of infra/template.yaml")
    made = await asyncio.to_thread(make_stores, ground.emulator.url)
    own = {"COATCHECK_LOG": "text", "COATCHECK_PUBLIC_URL": ground.url, **WEBHOOK_TARGETS}
    env = {**ground.env, **made, **own}
    lanes = [word for lane in json.loads(env["COATCHECK_QUEUES"]) for word in ("--lane", lane)]
    door = env | {"COATCHECK_API_KEYS": api_keys(ground.api_key)}

    def python(name: str, *command: str) -> tuple[str, ...]:
        return (sys.executable, "-m", name, *command)

    listener = ground.listener
    return [
        Part("api", python("infra.embedded.serve", "service.main:app", str(listener)), door, (listener,)),
        Part("worker", python("worker", *lanes, "--processes", str(ground.workers)), env),
        Part("sweeper", python("worker.sweeper", "--every", str(SWEEP_EVERY)), env),
    ]

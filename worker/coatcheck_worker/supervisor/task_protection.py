"""Asks ECS to spare this container while a job runs: not to stop it when it lowers the number of containers.

ECS stops any of them otherwise, the busy as well as the idle. A deploy waits for a job that is spared, as long as the
protection lasts: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException

log = logging.getLogger(__name__)

TASK_AGENT = "ECS_AGENT_URI"
"""The variable by which ECS tells where its agent listens."""

LASTS_MINUTES = 60
"""How long a protection lasts: a deploy waits for a job as long, after which the job is handed back."""

RENEWED_AFTER = 20 * 60.0
RETRIED_AFTER = 60.0
"""Seconds until a protection is renewed, and until another try where the agent refused."""

LOOK_SECONDS = 1.0
TIMEOUT = 5.0


class TaskProtection:
    """Protects this container while `is_busy` says so. `agent` is the URL of the agent of ECS."""

    def __init__(self, agent: str, is_busy: Callable[[], bool]) -> None:
        self._url, self._is_busy = f"{agent}/task-protection/v1/state", is_busy
        self._protected = False
        # by whether a job runs
        self._ask_again_at = {True: 0.0, False: 0.0}

    def start(self) -> None:
        """Look after it in a thread of its own, as long as the process lives."""
        threading.Thread(target=self._look_forever, name="task-protection", daemon=True).start()

    def look(self, now: float) -> None:
        """Ask the agent for what has to change. `now` is in seconds."""
        busy = self._is_busy()
        if now < self._ask_again_at[busy]:
            return
        if busy:
            self._protected = self._ask({"ProtectionEnabled": True, "ExpiresInMinutes": LASTS_MINUTES})
            self._ask_again_at = {True: now + (RENEWED_AFTER if self._protected else RETRIED_AFTER), False: now}
        elif self._protected:
            self._protected = not self._ask({"ProtectionEnabled": False})
            self._ask_again_at = {True: now, False: now + RETRIED_AFTER}

    def _ask(self, wanted: Mapping[str, object]) -> bool:
        """Put this state. Returns whether the agent took it: it does not while this would hold up a deploy."""
        request = urllib.request.Request(  # noqa: S310 - the URL is that of ECS
            self._url, json.dumps(wanted).encode(), {"Content-Type": "application/json"}, method="PUT"
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - as above
                answer = json.load(response)
        except (OSError, ValueError, HTTPException) as error:
            log.warning("ECS does not protect this container: %s", error)
            return False
        if isinstance(answer, dict) and "protection" in answer:
            return True
        log.warning("ECS does not protect this container: %s", json.dumps(answer)[:500])
        return False

    def _look_forever(self) -> None:
        while True:
            try:
                self.look(time.monotonic())
            except Exception:
                # a long job is spared as long as this loop goes on
                log.exception("a look after the protection of this container failed")
            time.sleep(LOOK_SECONDS)

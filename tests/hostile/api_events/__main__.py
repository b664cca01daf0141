"""Gives the API's function hostile events: `python -m tests.hostile.api_events --events 100000`."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import sys
import time
from random import Random
from typing import Any, TypeVar

from coatcheck.core.aws.call import AwsRefused, AwsUnavailable, Call, Presign, PresignedUrl
from coatcheck.core.settings import Settings
from coatcheck_service.app import create_app
from coatcheck_service.front_door import LAMBDA
from coatcheck_service.lambda_adapter import make_mangum
from tests.example_jobs import CATALOG
from tests.hostile.api_events.events import KEY, make_event
from tests.hostile.queue_events.events import ENVIRONMENT
from tests.hostile.queue_events.offline import OfflineTransport

T = TypeVar("T")

SHOWN = 20
EXPECTED = range(200, 500)
UNAVAILABLE = 503
"""What an error of AWS becomes, of which the transport makes some up."""


class AsyncOfflineTransport:
    """The offline transport, for the service."""

    def __init__(self, random: Random) -> None:
        self._transport = OfflineTransport(random)

    async def send(self, call: Call[T]) -> T:
        """Answer. Raises AwsUnavailable, also where no answer can be made up."""
        try:
            return self._transport.send(call)
        except (AwsRefused, KeyError):
            raise AwsUnavailable(call, "not made up") from None

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Return a URL that leads nowhere."""
        return PresignedUrl(f"https://s3.test/{presign.operation}", presign.expires_in)

    async def aclose(self) -> None:
        """Nothing is open."""


def main() -> int:
    """Print what is wrong. Returns 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.api_events", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    arguments = parser.parse_args()
    logging.disable()
    handler = _make_handler()
    began, wrong = time.perf_counter(), list[str]()
    for seed in range(arguments.events):
        event = make_event(Random(seed))
        try:
            answer = handler(event, None)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            answer = {"statusCode": repr(error)}
        if found := _wrong(answer):
            wrong.append(f"seed {seed}: {found}: {json.dumps(event)[:600]}")
    print("\n".join(wrong[:SHOWN]))
    print(f"{arguments.events} events, {arguments.events / (time.perf_counter() - began):.0f}/s, {len(wrong)} wrong")
    return 1 if wrong else 0


def _wrong(answer: dict[str, Any]) -> str:
    status = answer["statusCode"]
    if status not in EXPECTED and status != UNAVAILABLE:
        return str(status)
    several = {name: ", ".join(values) for name, values in (answer.get("multiValueHeaders") or {}).items()}
    headers = {name: str(value) for name, value in (answer.get("headers") or {}).items()} | several
    if any("\n" in value or "\r" in value for value in headers.values()):
        return f"a header with a line end: {headers}"
    return "" if headers.get("x-content-type-options") == "nosniff" else f"no nosniff: {headers}"


def _make_handler() -> Any:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    settings = Settings.from_env({**ENVIRONMENT, "COATCHECK_API_KEYS": json.dumps({digest: "acme"})})
    asyncio.set_event_loop(asyncio.new_event_loop())
    app = create_app(settings, CATALOG, AsyncOfflineTransport(Random(0)), LAMBDA)
    return make_mangum(app, "")


if __name__ == "__main__":
    sys.exit(main())

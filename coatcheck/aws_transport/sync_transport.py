"""The lean transport for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from coatcheck.aws_transport.aws_json import Reply, encode
from coatcheck.aws_transport.credentials import NoCredentials
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.exchange import Failure
from coatcheck.aws_transport.links import Link, Links
from coatcheck.aws_transport.protocols import Transport
from coatcheck.aws_transport.sync_pool import SyncPool
from coatcheck.aws_transport.transport_config import TransportConfig
from coatcheck.core.aws.call import Call

T = TypeVar("T")


class LeanTransport:
    """AWS without an SDK where that is cheaper. What it does not send itself goes to what `make_other` makes.

    May be used from several threads.
    """

    def __init__(
        self, environment: AwsEnvironment, make_other: Callable[[], Transport], config: TransportConfig
    ) -> None:
        self._links: Links[SyncPool] = Links(environment, SyncPool, config)
        self._make_other = make_other
        self._other: Transport | None = None
        self._lock = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        link = self._links.link(call.service)
        if link is None:
            return self._sdk().send(call)
        body = encode(call)
        flow = self._links.flow(call)
        pause = next(flow)
        while True:
            if pause:
                time.sleep(pause)
            outcome = self._attempt(link, call, body)
            try:
                pause = flow.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer

    def _sdk(self) -> Transport:
        """The other transport, made when it is first needed: an SDK takes a second to load."""
        if self._other is None:
            with self._lock:
                if self._other is None:
                    self._other = self._make_other()
        return self._other

    def _attempt(self, link: Link[SyncPool], call: Call[Any], body: bytes) -> Reply | Failure:
        try:
            credentials = self._links.credentials.current()
        except NoCredentials:
            return Failure("NoCredentials")
        request = link.writer.write(call, body, credentials, self._links.clock.now())
        return link.pool.send(request, self._links.timeouts(call))

"""What both transports share: for each service, who writes its requests and the pool that sends them."""

from __future__ import annotations

import functools
import random
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from coatcheck.aws_transport.aws_json import Reply
from coatcheck.aws_transport.credentials import CredentialSource
from coatcheck.aws_transport.endpoints import SERVICES, Endpoint
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.exchange import Clock, Failure, exchange
from coatcheck.aws_transport.request_writer import RequestWriter
from coatcheck.aws_transport.retries import AwsRetryPolicy, RetryBudget
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig
from coatcheck.core.aws.call import Call, Service

T = TypeVar("T")
PoolT = TypeVar("PoolT")

MakePool = Callable[[Endpoint, Callable[[], ssl.SSLContext], TransportConfig], PoolT]


@dataclass(frozen=True, slots=True)
class Link(Generic[PoolT]):
    """The way to one service."""

    writer: RequestWriter
    pool: PoolT


class Links(Generic[PoolT]):
    """The ways to all services that need no SDK. Making it opens no connection.

    Raises what botocore raises if no region is configured.
    """

    def __init__(self, environment: AwsEnvironment, make_pool: MakePool[PoolT], config: TransportConfig) -> None:
        self._config = config
        self.credentials: CredentialSource = environment.credentials()
        self.clock: Clock = Clock(time.time)
        budget = RetryBudget()
        self._policy = AwsRetryPolicy(config.attempts, random.random, budget)
        self._urgent_policy = AwsRetryPolicy(config.urgent_attempts, random.random, budget)
        make_tls = functools.cache(environment.tls_context)
        self._links: Mapping[Service, Link[PoolT]] = dict(_links(environment, make_pool, make_tls, config))

    def link(self, service: Service) -> Link[PoolT] | None:
        """The way to a service; None if it is another's, or behind a proxy."""
        return self._links.get(service)

    def pools(self) -> list[PoolT]:
        """All pools."""
        return [link.pool for link in self._links.values()]

    def flow(self, call: Call[T]) -> Generator[float, Reply | Failure, T]:
        """The flow that sends a call."""
        return exchange(call, self._urgent_policy if call.urgent else self._policy, self.clock)

    def timeouts(self, call: Call[Any]) -> Timeouts:
        """How long to wait for an answer to a call."""
        return self._config.urgent_timeouts if call.urgent else self._config.timeouts


def _links(
    environment: AwsEnvironment,
    make_pool: MakePool[PoolT],
    make_tls: Callable[[], ssl.SSLContext],
    config: TransportConfig,
) -> Generator[tuple[Service, Link[PoolT]], None, None]:
    for service in SERVICES:
        endpoint, region = environment.endpoint(service)
        if not environment.has_proxy(endpoint):
            yield service, Link(RequestWriter(service, endpoint, region), make_pool(endpoint, make_tls, config))

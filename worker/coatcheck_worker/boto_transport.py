"""The synchronous transport to AWS: sends the core's calls with boto3."""

from __future__ import annotations

import functools
import random
import threading
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from coatcheck.aws_transport.sdk_metrics import ATTEMPT_EVENT, count_sdk_attempt
from coatcheck.core.aws.call import AwsRefused, AwsUnavailable, Call, Service, error_from
from coatcheck.core.aws.conflicts import RETRY_EVENT, retry_delay

T = TypeVar("T")

_LONG_POLL = 20
_CONNECT_TIMEOUT = 3
_URGENT_CONNECT_TIMEOUT, _URGENT_READ_TIMEOUT, _URGENT_ATTEMPTS = 2, 3, 2
"""Seconds, and attempts: an urgent call fails after about ten seconds, less than a quarter of the usual lease."""

_CONNECTIONS = 40
"""Connections kept open to each service: more than the deliverer has threads, unless it is started with many."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

STREAM_ERRORS = (BotoCoreError, urllib3.exceptions.HTTPError, OSError)
"""What reading the stream of an answer raises when its connection breaks."""


class BotoTransport:
    """AWS through boto3. A client is made when it is first needed; it may be used from several threads.

    `session` and `endpoint_url` default to what the SDK finds in the environment.
    """

    def __init__(self, session: boto3.Session | None = None, *, endpoint_url: str | None = None) -> None:
        self._session, self._endpoint_url = session or boto3.Session(), endpoint_url
        self._clients: dict[tuple[Service, bool], Any] = {}
        # a session makes one client at a time
        self._lock = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        return send_by(self._client(call), call)

    def _client(self, call: Call[Any]) -> Any:
        key = (call.service, call.urgent)
        if key not in self._clients:
            with self._lock:
                if key not in self._clients:
                    self._clients[key] = self._make_client(*key)
        return self._clients[key]

    def _make_client(self, service: Service, urgent: bool) -> Any:  # noqa: FBT001 - a part of the key
        if service == "s3":
            client = _s3(self._session, self._endpoint_url)
        else:
            config = client_config().merge(_urgent()) if urgent else client_config()
            client = self._session.client(service, endpoint_url=self._endpoint_url, config=config)
            client.meta.events.register(RETRY_EVENT, functools.partial(retry_delay, roll=random.random))
        client.meta.events.register(f"{ATTEMPT_EVENT}.{service}", functools.partial(count_sdk_attempt, service))
        return client


def send_by(client: Any, call: Call[T]) -> T:
    """Send `call` by a client of boto3 and read its answer. Raises AwsUnavailable or AwsRefused."""
    method = getattr(client, xform_name(call.operation))
    try:
        return call.read(method(**call.params))
    except ClientError as error:
        response = cast("dict[str, Any]", error.response)
        refusal = call.expected_errors.get(response["Error"].get("Code", ""))
        if refusal is not None:
            return refusal(response)
        raise error_from(call, response) from error
    except ParamValidationError as error:
        raise AwsRefused(call, "ParamValidationError") from error
    except BotoCoreError as error:
        raise AwsUnavailable(call, type(error).__name__) from error


def body_is_safe_at(url: str) -> bool:
    """Whether nobody can change a body on its way to `url`: then it needs no signed sha256 of its own."""
    endpoint = urlsplit(url)
    return endpoint.scheme == "https" or endpoint.hostname in _LOOPBACK


def _s3(session: boto3.Session, endpoint_url: str | None) -> Any:
    """An S3 client that does not sign a sha256 of each body, which would cost more than sending the body.

    Stored objects have their own checksum, in a signed header. Where others could change the body on its way, over
    plain http to another machine, the body is signed too.
    """
    unsigned = Config(s3={"payload_signing_enabled": False})
    client = session.client("s3", endpoint_url=endpoint_url, config=client_config().merge(unsigned))
    if body_is_safe_at(client.meta.endpoint_url):
        return client
    return session.client("s3", endpoint_url=endpoint_url, config=client_config())


def client_config() -> Config:
    """How each client connects, waits and retries."""
    return Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_LONG_POLL + 10,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 4},
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _urgent() -> Config:
    return Config(
        connect_timeout=_URGENT_CONNECT_TIMEOUT,
        read_timeout=_URGENT_READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": _URGENT_ATTEMPTS},
    )

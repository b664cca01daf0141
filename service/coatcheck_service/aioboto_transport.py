"""The asynchronous transport to AWS: sends the core's calls with aioboto3."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Literal, TypeVar, cast

import aioboto3  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from coatcheck.aws_transport.sdk_metrics import ATTEMPT_EVENT, count_sdk_attempt
from coatcheck.core.aws.call import AwsRefused, AwsUnavailable, Call, Presign, PresignedUrl, Service, error_from
from coatcheck.core.aws.conflicts import RETRY_EVENT, retry_delay

T = TypeVar("T")

SERVICES: tuple[Service, ...] = ("dynamodb", "sqs", "s3")


MIN_CREDENTIAL_SECONDS = 600
"""Seconds for which credentials are valid, at least, when they sign something: botocore's mandatory refresh."""


class AioBotoTransport:
    """Sends calls to AWS with aioboto3. Makes each client once, when it is first needed.

    All calls must come from one event loop. `endpoint_url` is the URL of an emulator, or None for AWS itself.
    `session` gives the credentials and the region.
    """

    def __init__(self, endpoint_url: str | None = None, session: aioboto3.Session | None = None) -> None:
        self.endpoint_url = endpoint_url
        self._session = session or aioboto3.Session()
        self._clients: dict[Service, Any] = {}
        self._client_lock = asyncio.Lock()
        self._exit_stack = AsyncExitStack()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> AioBotoTransport:
        """Make the transport that the SDK's own environment variables describe."""
        return cls(environ.get("AWS_ENDPOINT_URL") or None)

    async def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        try:
            client = await self._client(call.service)
            result = await getattr(client, xform_name(call.operation))(**call.params)
        except ClientError as error:
            response = cast("dict[str, Any]", error.response)
            refused = call.expected_errors.get(response.get("Error", {}).get("Code", ""))
            if refused is None:
                raise error_from(call, response) from error
            return refused(response)
        except ParamValidationError as error:
            raise AwsRefused(call, type(error).__name__) from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise AwsUnavailable(call, type(error).__name__) from error
        return call.read(result)

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Sign a URL; nothing is sent."""
        client = await self._client("s3")
        seconds = await self._valid_seconds(presign.expires_in)
        url = await client.generate_presigned_url(presign.operation, Params=dict(presign.params), ExpiresIn=seconds)
        return PresignedUrl(url, seconds)

    async def open(self) -> None:
        """Make every client now, before it is needed. This opens no connection."""
        for service in SERVICES:
            await self._client(service)

    async def aclose(self) -> None:
        """Close every connection. The transport can be used again: it makes new clients."""
        self._clients.clear()
        await self._exit_stack.aclose()

    async def _valid_seconds(self, seconds: int) -> int:
        """Return how many of these seconds a signature made now is valid: it expires with the session that signed it.

        botocore refreshes credentials that are about to expire, so ten minutes are always left. It does not know when
        credentials from the environment expire, such as those of a function without SnapStart.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html#PresignedUrl-Expiration
        """
        credentials = await self._session.get_credentials()
        if credentials is None or (await credentials.get_frozen_credentials()).token is None:
            return seconds
        if not isinstance(credentials, RefreshableCredentials):
            return min(seconds, MIN_CREDENTIAL_SECONDS)
        valid = bisect_left(range(seconds + 1), 1, key=lambda ahead: int(credentials.refresh_needed(refresh_in=ahead)))
        return max(valid - 1, 1)

    async def _client(self, service: Service) -> Any:
        if service not in self._clients:
            async with self._client_lock:
                if service not in self._clients:
                    self._clients[service] = await self._create_client(service)
        return self._clients[service]

    async def _create_client(self, service: Service) -> Any:
        client = self._session.client(service, endpoint_url=self.endpoint_url, config=self._config(service))
        opened = await self._exit_stack.enter_async_context(client)
        opened.meta.events.register(RETRY_EVENT, partial(retry_delay, roll=random.random))
        opened.meta.events.register(f"{ATTEMPT_EVENT}.{service}", partial(count_sdk_attempt, service))
        return opened

    def _config(self, service: Service) -> Config:
        config = Config(
            connect_timeout=2,
            read_timeout=8,
            max_pool_connections=100,
            retries={"mode": "standard", "total_max_attempts": 3},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        if service != "s3":
            return config
        # an emulator's host name has no bucket in front of it
        style: Literal["path", "virtual"] = "path" if self.endpoint_url else "virtual"
        return config.merge(Config(signature_version="s3v4", s3={"addressing_style": style}))

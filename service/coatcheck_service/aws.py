"""The service's transport to AWS."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import botocore

from coatcheck.aws_transport.async_transport import AsyncLeanTransport
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.protocols import OpenableTransport
from coatcheck.aws_transport.traced import traced_async
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig
from coatcheck.core.tracing import installed_tracer

CONFIG = TransportConfig(Timeouts(connect=2.0, answer=8.0), attempts=3, idle_connections=100)


def connect(environ: Mapping[str, str]) -> OpenableTransport:
    """The transport to AWS: the lean one, or aioboto3 for all if COATCHECK_TRANSPORT is `boto3`."""
    if environ.get("COATCHECK_TRANSPORT") == "boto3":
        return traced_async(_aioboto3(environ), installed_tracer())
    lean = AsyncLeanTransport(aws_environment(environ), partial(_aioboto3, environ), CONFIG)
    return traced_async(lean, installed_tracer())


def aws_environment(environ: Mapping[str, str]) -> AwsEnvironment:
    """What the environment says of AWS. The certificates to trust are those that botocore brings."""
    certificates = Path(botocore.__file__).with_name("cacert.pem")
    return AwsEnvironment(environ, _make_session, Path.home(), str(certificates))


def _make_session() -> Any:
    from botocore.session import get_session  # noqa: PLC0415 - takes a tenth of a second, and Lambda needs it for nothing

    return get_session()


def _aioboto3(environ: Mapping[str, str]) -> OpenableTransport:
    from coatcheck_service.aioboto_transport import AioBotoTransport  # noqa: PLC0415 - aioboto3 takes a second to load

    return AioBotoTransport.from_env(environ)

"""The worker's transport to AWS."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore

from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.protocols import Transport
from coatcheck.aws_transport.sync_transport import LeanTransport
from coatcheck.aws_transport.traced import traced
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig
from coatcheck.core.tracing import installed_tracer
from coatcheck_worker.s3_signing import AttemptKeys, Sign

CONFIG = TransportConfig(Timeouts(connect=3.0, answer=30.0), attempts=4, idle_connections=40)
"""An answer to a long poll takes up to 20 seconds. More connections are kept than the deliverer has threads."""


def connect(environ: Mapping[str, str] = os.environ) -> Transport:
    """The transport to AWS: the lean one, or boto3 for all if COATCHECK_TRANSPORT is `boto3`."""
    boto3 = environ.get("COATCHECK_TRANSPORT") == "boto3"
    return traced(_boto3() if boto3 else LeanTransport(aws_environment(environ), _boto3, CONFIG), installed_tracer())


def s3_signer(bucket: str) -> Sign:
    """What signs the requests of runners to the bucket. It loads boto3 when it is first asked."""

    @functools.cache
    def signer() -> Any:
        from coatcheck_worker.s3_signer import S3Signer  # noqa: PLC0415 - boto3 takes a second to load

        return S3Signer(bucket)

    def sign(keys: AttemptKeys, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        signed: Mapping[str, str] = signer().sign(keys, method, url, headers)
        return signed

    return sign


def aws_environment(environ: Mapping[str, str]) -> AwsEnvironment:
    """What the environment says of AWS. The certificates to trust are those that botocore brings."""
    certificates = Path(botocore.__file__).with_name("cacert.pem")
    return AwsEnvironment(environ, _make_session, Path.home(), str(certificates))


def _make_session() -> Any:
    from botocore.session import get_session  # noqa: PLC0415 - takes a tenth of a second, and Lambda needs it for nothing

    return get_session()


def _boto3() -> Transport:
    from coatcheck_worker.boto_transport import BotoTransport  # noqa: PLC0415 - boto3 takes a second to load

    return BotoTransport()

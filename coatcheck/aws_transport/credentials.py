"""What signs requests to AWS, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """An access key. `token` belongs to one that was issued for a time."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class CredentialSource(Protocol):
    """Gives the credentials of now."""

    @property
    def is_blocking(self) -> bool:
        """Whether `current` would send a request now."""

    def current(self) -> AwsCredentials:
        """The credentials to sign with. Raises NoCredentials."""


class NoCredentials(Exception):
    """There are no credentials, or new ones cannot be had."""


class FixedCredentials:
    """Credentials that stay as they are."""

    is_blocking = False

    def __init__(self, credentials: AwsCredentials) -> None:
        self._credentials = credentials

    def current(self) -> AwsCredentials:
        """The credentials to sign with."""
        return self._credentials


def credentials_of(environ: Mapping[str, str]) -> AwsCredentials | None:
    """The credentials that the environment holds itself, as that of a Lambda function does; None if it holds none.

    They come before all others: https://docs.aws.amazon.com/boto3/latest/guide/credentials.html
    """
    access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    return AwsCredentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None)


class SdkCredentials:
    """Credentials that botocore finds and refreshes: of a profile, a container, an instance or a web identity.

    `find` does what `get_credentials` of a botocore session does; it is asked once. May be used from several threads.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._held: Any = None

    @property
    def is_blocking(self) -> bool:
        """Whether they are still to be found, or about to expire, so that `current` asks for new ones."""
        if self._held is None:
            return True
        refresh_needed = getattr(self._held, "refresh_needed", None)
        return bool(refresh_needed and refresh_needed())

    def current(self) -> AwsCredentials:
        """The credentials to sign with. Raises NoCredentials."""
        try:
            held = self._held or self._find()
            frozen = held.get_frozen_credentials() if held else None
        except Exception as error:
            # whatever a provider raises, it is the same to who wants to send something
            raise NoCredentials(f"the credentials for AWS cannot be had: {type(error).__name__}") from error
        if frozen is None:
            raise NoCredentials("no credentials for AWS are configured")
        self._held = held
        return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token)

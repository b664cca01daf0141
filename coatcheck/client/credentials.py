"""What a client sends to say whose it is: a key that stays, or a token that somebody renews."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from coatcheck.client.exceptions import InvalidArgumentError

TokenProvider: TypeAlias = Callable[[], str]
"""Returns a bearer token that is good now. What it raises, the client's method raises."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key or a token, or what returns one."""

    bearer: str | TokenProvider = field(repr=False)

    @classmethod
    def of(cls, api_key: str | None, token: TokenProvider | None) -> Credentials:
        """Take the one that is given. Raises InvalidArgumentError for none, for both, and for a key that cannot be."""
        if (api_key is None) == (token is None):
            raise InvalidArgumentError("give a client either an API key or a token")
        if api_key is not None:
            _check(api_key, "an API key")
            return cls(api_key)
        assert token is not None
        return cls(token)

    def headers(self) -> Mapping[str, str]:
        """The headers of one request. Raises InvalidArgumentError for a token that cannot be one."""
        if isinstance(self.bearer, str):
            return {"Authorization": f"Bearer {self.bearer}"}
        token = self.bearer()
        _check(token, "what `token` returns")
        return {"Authorization": f"Bearer {token}"}


def _check(text: object, what: str) -> None:
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        raise InvalidArgumentError(f"{what} must be printable ASCII characters")

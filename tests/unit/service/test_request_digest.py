"""When two submits are the same request."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.pack import canonical_json
from coatcheck_service.actions import idempotency


class ExampleItem(BaseModel):
    """A part of an input."""

    size: float = 1
    tags: list[str] = Field(default_factory=list)


class ExampleInput(BaseModel):
    """An input of a job type that makes some values one."""

    seconds: float = Field(alias="time")
    count: int = 3
    name: str | None = None
    inner: ExampleItem = ExampleItem()
    parts: list[ExampleItem] = Field(default_factory=list)
    by_name: dict[str, ExampleItem] = Field(default_factory=dict)
    word: SecretStr | None = None
    seed: str = Field(default_factory=lambda: secrets.token_hex(8))
    free: Any = None

    @field_validator("name")
    @classmethod
    def _lower(cls, name: str | None) -> str | None:
        return None if name is None else name.lower()


def digest_of(body: dict[str, Any]) -> bytes:
    """The digest of what a submit means."""
    request = SubmitRequest.model_validate_json(canonical_json({"type": "t"} | body))
    return idempotency.digest(idempotency.normalized(request, ExampleInput.model_validate(request.input)))


PLAIN: dict[str, Any] = {"time": 1}

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"input": PLAIN}, {"input": {"time": 1.0}}),
    ({"input": PLAIN}, {"input": {"time": "1"}}),
    ({"input": PLAIN}, {"input": PLAIN, "delay": None}),
    ({"input": PLAIN}, {"input": PLAIN, "metadata": {}, "webhook": None, "max_attempts": None}),
    ({"input": PLAIN, "delay": 5}, {"input": PLAIN, "delay": 5.0}),
    (
        {"input": PLAIN, "run_at": "2030-01-01T00:00:00Z"},
        {"input": PLAIN, "run_at": "2030-01-01T01:00:00.000+01:00"},
    ),
    ({"input": PLAIN}, {"input": PLAIN | {"count": 3, "name": None, "parts": [], "inner": {}}}),
    ({"input": PLAIN}, {"input": PLAIN | {"inner": {"size": 1, "tags": []}}}),
    ({"input": PLAIN | {"name": "A"}}, {"input": PLAIN | {"name": "a"}}),
    ({"input": PLAIN | {"parts": [{"size": 2}]}}, {"input": PLAIN | {"parts": [{"size": 2.0, "tags": []}]}}),
    ({"input": PLAIN | {"by_name": {"x": {"size": 1}}}}, {"input": PLAIN | {"by_name": {"x": {}}}}),
]

OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"input": PLAIN}, {"input": {"time": 2}}),
    ({"input": PLAIN}, {"input": PLAIN, "delay": 0}),
    ({"input": PLAIN | {"word": "a"}}, {"input": PLAIN | {"word": "b"}}),
    ({"input": PLAIN | {"seed": "a"}}, {"input": PLAIN | {"seed": "b"}}),
    ({"input": PLAIN | {"free": 1}}, {"input": PLAIN | {"free": True}}),
    ({"input": PLAIN | {"free": {"a": None}}}, {"input": PLAIN | {"free": {}}}),
    ({"input": PLAIN | {"parts": [{}]}}, {"input": PLAIN | {"parts": [{}, {}]}}),
    ({"input": PLAIN | {"unknown": 1}}, {"input": PLAIN}),
    ({"input": PLAIN, "metadata": {"a": "1"}}, {"input": PLAIN, "metadata": {"a": "2"}}),
]


@pytest.mark.parametrize(("one", "another"), SAME)
def test_what_means_the_same(one: dict[str, Any], another: dict[str, Any]) -> None:
    assert digest_of(one) == digest_of(another)


@pytest.mark.parametrize(("one", "another"), OTHER)
def test_what_means_something_else(one: dict[str, Any], another: dict[str, Any]) -> None:
    assert digest_of(one) != digest_of(another)


def test_what_a_model_makes_up_changes_nothing() -> None:
    assert digest_of({"input": PLAIN}) == digest_of({"input": PLAIN})

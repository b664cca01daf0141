"""A model of API Gateway refuses all that its job type refuses, or there is none."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft4Validator  # type: ignore[import-untyped]
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from coatcheck.authoring.upload import Upload
from coatcheck_infra.project.request_models import NotExpressible, submit_model


class Size(BaseModel):
    """Nested."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(ge=1, le=100)
    unit: Literal["mm", "inch"] = "mm"


class Order(BaseModel):
    """All that a model can say."""

    name: str = Field(min_length=1, max_length=5)
    size: Size
    others: list[Size] = Field(default_factory=list)
    weight: float | None = Field(default=None, ge=0)
    fragile: bool = False
    kind: Literal["box"] = "box"


GIVEN: list[Any] = [
    {"name": "a", "size": {"width": 3}},
    {"name": "a", "size": {"width": 3, "unit": "inch"}, "others": [{"width": 1}], "weight": 1.5, "fragile": True},
    {"name": "a", "size": {"width": 3}, "more": 1},
    {"name": "", "size": {"width": 3}},
    {"name": "abcdef", "size": {"width": 3}},
    {"name": "a", "size": {"width": 0}},
    {"name": "a", "size": {"width": 101}},
    {"name": "a", "size": {"width": 3, "unit": "m"}},
    {"name": "a", "size": {"width": 3, "depth": 3}},
    {"name": "a", "size": {"width": "3"}},
    {"name": "a", "size": {"width": 3}, "others": [{}]},
    {"name": "a", "size": {"width": 3}, "weight": -1},
    {"name": "a", "size": {"width": 3}, "weight": None},
    {"name": "a", "size": {"width": 3}, "kind": "bag"},
    {"name": None, "size": {"width": 3}},
    {"size": {"width": 3}},
    {},
    [],
    "a",
    None,
]


TAKEN_BY_THE_SERVICE: list[Any] = [
    {"name": "a", "size": {"width": "3"}},
    {"name": "a", "size": {"width": 3}, "weight": None},
    {"name": "a", "size": {"width": 3}, "more": 1},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_what_a_model_takes_its_job_type_takes(given: Any) -> None:
    model = Draft4Validator(submit_model("order.make", Order))
    if model.is_valid({"type": "order.make", "input": given}):
        Order.model_validate(given)
    # the service takes more: a null, a number as text, a member that it ignores
    elif given not in TAKEN_BY_THE_SERVICE:
        with pytest.raises(ValidationError):
            Order.model_validate(given)


@pytest.mark.parametrize(
    "submit",
    [
        {"type": "order.other", "input": GIVEN[0]},
        {"type": "order.make"},
        {"type": "order.make", "input": GIVEN[0], "delay": 1},
        {"type": "order.make", "input": GIVEN[0], "metadata": {"a": 1}},
        {"type": "order.make", "input": GIVEN[0], "metadata": {str(n): "" for n in range(17)}},
        {"type": "order.make", "input": GIVEN[0], "metadata": {"a": "x" * 501}},
        [],
    ],
    ids=str,
)
def test_a_model_takes_plain_submits_alone(submit: Any) -> None:
    model = Draft4Validator(submit_model("order.make", Order))
    assert model.is_valid({"type": "order.make", "input": GIVEN[0], "metadata": {"a": "b"}})
    assert not model.is_valid(submit)


def checked(value: str) -> str:
    """A validator."""
    return value


class Node(BaseModel):
    """Recursive."""

    inner: list[Node] = Field(default_factory=list)


class Validated(BaseModel):
    """With a validator."""

    name: str

    @field_validator("name")
    @classmethod
    def _check(cls, value: str) -> str:
        return checked(value)


class Stripped(BaseModel):
    """With a setting that refuses more than its schema says."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1)


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Upload, "input.it is an upload"),
        (datetime, "input.it has format"),
        (int | str, "input.it has anyOf"),
        (Any, "input.it may be anything"),
        (dict[str, int], "input.it has additionalProperties"),
        (Node, "input.it.inner\\[\\] is recursive"),
        (Validated, "the input has a validator"),
        (Stripped, "the input has str_strip_whitespace"),
        (Annotated[str, AfterValidator(checked)], "the input has a validator"),
        (Annotated[str, Field(pattern="^a")], "input.it has pattern"),
        (Annotated[int, Field(gt=0)], "input.it has exclusiveMinimum"),
        (Annotated[list[int], Field(min_length=1)], "input.it has minItems"),
        (Annotated[int, Field(multiple_of=3)], "input.it has multipleOf"),
    ],
)
def test_what_a_model_cannot_say_is_none(annotation: Any, said: str) -> None:
    made = type("Made", (BaseModel,), {"__annotations__": {"it": annotation}})
    with pytest.raises(NotExpressible, match=f"^({said})"):
        submit_model("it.makes", made)

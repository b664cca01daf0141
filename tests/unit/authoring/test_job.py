"""A job type is named in one place: what `job` takes from a function, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import TYPE_CHECKING, Any, assert_type

import pytest
from pydantic import BaseModel

from coatcheck import Context, Continue, JobType, Result, RetryPolicy, Upload, job, run_job

if TYPE_CHECKING:
    from decimal import Decimal


class Text(BaseModel):
    text: Upload


class Words(BaseModel):
    words: int


@job("text.words", timeout=120, lane="heavy", max_attempts=5, retry=RetryPolicy(base=1))
def words(given: Text, ctx: Context) -> Words:
    """Count the words of a text.

    Words are what spaces part.
    """
    with ctx.open_input(given.text) as file:
        return Words(words=sum(len(line.split()) for line in file))


@job("text.later")
async def later(given: Text, ctx: Context) -> Words | Continue:
    return Words(words=len(given.text.id)) if ctx.checkpoint else Continue(1)


@job("text.nothing", title="Nothing", description="Does nothing.")
def nothing(given: Text, ctx: Context) -> None:
    """Not this."""


def test_it_takes_everything_from_the_function() -> None:
    assert (words.name, words.input, words.output) == ("text.words", Text, Words)
    assert (words.title, words.description) == (
        "Count the words of a text",
        "Count the words of a text.\n\nWords are what spaces part.",
    )
    assert (words.lane, words.timeout, words.max_attempts, words.retry.base) == ("heavy", 120, 5, 1)


def test_what_is_given_wins_over_the_docstring() -> None:
    assert (nothing.title, nothing.description, nothing.output) == ("Nothing", "Does nothing.", NoneType)


def test_continue_is_no_output() -> None:
    assert later.output is Words
    assert (later.title, later.description) == ("", "")


def test_a_type_checker_knows_what_it_makes() -> None:
    assert_type(words, JobType[Text, Words])
    assert_type(nothing, JobType[Text, None])


def test_it_is_run_in_a_test() -> None:
    assert run_job(words, {"text": {"$upload": "upl_a"}}, {"upl_a": b"two words"}).output == Words(words=2)
    assert run_job(later, {"text": {"$upload": "upl_a"}}, checkpoint=1).output == Words(words=5)


def one_argument(given: Text) -> Words:
    raise NotImplementedError


def no_input(given, ctx: Context) -> Words:  # type: ignore[no-untyped-def]  # noqa: ANN001
    raise NotImplementedError


def no_output(given: Text, ctx: Context):  # type: ignore[no-untyped-def]
    raise NotImplementedError


def two_outputs(given: Text, ctx: Context) -> Words | Result:
    raise NotImplementedError


def a_number(given: Text, ctx: Context) -> int:
    raise NotImplementedError


def takes_a_dict(given: dict[str, Any], ctx: Context) -> Words:
    raise NotImplementedError


def for_checkers_only(given: Text, ctx: Context) -> Decimal:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (one_argument, "a.b: the handler must take two arguments, its input and a context"),
        (no_input, "a.b: annotate its argument given: the job type takes its models from there"),
        (no_output, "a.b: annotate what it returns: the job type takes its models from there"),
        (two_outputs, r"a.b: the handler returns .*: name one model, Result or None, beside Continue"),
        (a_number, r"a.b: output must be a pydantic model, Result or type\(None\), not int"),
        (takes_a_dict, r"a.b: input must be a pydantic model, not dict\[str, typing.Any\]"),
        (for_checkers_only, "a.b: name 'Decimal' is not defined: import what its annotations name outside of TYPE_"),
        ("text", r"a.b: the handler must be a function of \(input, context\)"),
    ],
)
def test_what_cannot_be_a_job_type_is_refused_in_one_line(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job("a.b")(function)


def test_a_decorator_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r'^write @job\("name"\): the name of the job type is missing$'):
        job(nothing.handler)  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", ["", "jobs", "jobs:", ":run", "jobs/a.py:run", "jobs:run()", "jobs:a.b"])
def test_a_reference_has_a_module_and_a_function(reference: str) -> None:
    with pytest.raises(ValueError, match='handler must be a function or "module:function"'):
        JobType("a.b", Text, Words, handler=reference)

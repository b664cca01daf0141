from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.cli import input_arguments
from coatcheck.client import file_upload
from coatcheck.client.exceptions import InvalidArgumentError

NAMES = st.text(min_size=1, max_size=8).filter(lambda t: not set(t) & set(".[]="))
STEPS = st.one_of(NAMES, st.integers(0, 999), st.none())
FIELDS = st.builds(lambda first, rest: (first, *rest), NAMES, st.lists(STEPS, max_size=5))
REACHABLE = st.builds(lambda first, rest: (first, *rest), NAMES, st.lists(st.one_of(NAMES, st.none()), max_size=5))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@given(FIELDS)
def test_a_field_is_read_as_it_was_written(field: tuple[input_arguments.Step, ...]) -> None:
    assert input_arguments.parse_field(input_arguments.format_field(field)) == field


@given(st.text(max_size=20))
def test_any_text_is_a_field_or_refused(text: str) -> None:
    try:
        steps = input_arguments.parse_field(text)
    except InvalidArgumentError:
        return
    assert input_arguments.parse_field(input_arguments.format_field(steps)) == steps


def look_up(document: Any, field: tuple[input_arguments.Step, ...]) -> Any:
    for step in field:
        document = document[-1 if step is None else step]
    return document


@given(REACHABLE)
def test_what_is_placed_is_found_there(field: tuple[input_arguments.Step, ...]) -> None:
    assert look_up(input_arguments.set_field({}, field, "here"), field) == "here"


@given(st.dictionaries(NAMES, JSON, max_size=4), NAMES, JSON)
def test_placing_leaves_the_rest_and_the_original_alone(document: dict[str, Any], name: str, value: Any) -> None:
    before = repr(document)
    placed = input_arguments.set_field(document, (name,), value)
    assert placed == {**document, name: value}
    assert repr(document) == before


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "a[", "a]", "a[x]", "a[-1]", "[0]", "[]", "a[0]b", "a.[0]", "a[1234567]", "a=b"],
)
def test_these_are_no_fields(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a field"):
        input_arguments.parse_field(text)


@pytest.mark.parametrize(
    ("document", "field", "expected"),
    [
        ({}, "tables.flights", {"tables": {"flights": 1}}),
        ({"images": ["a"]}, "images[]", {"images": ["a", 1]}),
        ({"images": ["a", "b"]}, "images[0]", {"images": [1, "b"]}),
        ({"images": ["a"]}, "images[1]", {"images": ["a", 1]}),
        ({"p": [{"x": 0}]}, "p[0].y[]", {"p": [{"x": 0, "y": [1]}]}),
        ({"a": None}, "a.b", {"a": {"b": 1}}),
        ({"a": 5}, "a", {"a": 1}),
    ],
)
def test_place(document: Any, field: str, expected: Any) -> None:
    assert input_arguments.set_field(document, input_arguments.parse_field(field), 1) == expected


@pytest.mark.parametrize(
    ("document", "field", "line"),
    [
        ({"a": "text"}, "a.b", "a.b: a is not an object, and has no field 'b'"),
        ({"a": {}}, "a[]", "a[]: a is not a list"),
        ({"a": [1]}, "a[2]", "a[2]: a has 1 entries, and none can be set at 2"),
        ([], "a", "a: the input is not an object, and has no field 'a'"),
    ],
)
def test_place_that_does_not_fit(document: Any, field: str, line: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        input_arguments.set_field(document, input_arguments.parse_field(field), 1)
    assert str(raised.value) == line


def test_input_is_text_file_or_stdin(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"from": "file"}')
    assert input_arguments.read_input('{"a": 1}', bytes) == {"a": 1}
    assert input_arguments.read_input(f"@{file}", bytes) == {"from": "file"}
    assert input_arguments.read_input("-", lambda _: b'{"from": "stdin"}') == {"from": "stdin"}


@pytest.mark.parametrize(
    ("text", "raw", "line"),
    [
        ("{oops}", b"", "--input is not JSON: Expecting property name"),
        ("[NaN]", b"", "--input is not JSON: NaN is not allowed"),
        ("-", b"\xff{}", "standard input is not UTF-8"),
        ('{"a": -1e999}', b"", "--input is not JSON: -1e999 is too large a number"),
        ("9" * 5000, b"", "--input is not JSON: Exceeds the limit (4300 digits)"),
        ("-", b"[" * 100_000, "standard input is not JSON: nested too deeply"),
        (
            "-",
            b" " * (input_arguments.MAX_INPUT_SIZE + 1),
            "standard input has more than 64 MiB: send a file with --upload",
        ),
        ("@missing.json", b"", "cannot read missing.json: No such file or directory"),
    ],
)
def test_input_that_is_none(text: str, raw: bytes, line: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        input_arguments.read_input(text, lambda _: raw)
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_seconds_that_are_none(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match="--delay takes a number of seconds, at least 0"):
        input_arguments.read_seconds("--delay", value)


@pytest.mark.parametrize(
    ("name", "sent"), [("a b.csv", "a b.csv"), ("caf\udce9.csv", "caf_.csv"), ("a\\b\nc", "a_b_c"), ("...", "file")]
)
def test_what_an_upload_is_called(name: str, sent: str) -> None:
    assert file_upload.upload_name(Path(name)) == sent


def test_attachment_and_metadata(tmp_path: Path) -> None:
    file = tmp_path / "a=b.csv"
    file.touch()
    assert input_arguments.read_attachment(f"tables.t={file}") == input_arguments.Attachment(("tables", "t"), file)
    assert input_arguments.read_metadata(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("text", ["", "images", "images=", "=x", "images=/does/not/exist", "images=/"])
def test_attachment_that_is_none(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        input_arguments.read_attachment(text)


@pytest.mark.parametrize("pair", ["", "novalue", "=x"])
def test_metadata_that_is_none(pair: str) -> None:
    with pytest.raises(InvalidArgumentError, match="NAME=VALUE"):
        input_arguments.read_metadata([pair])

"""What is typed after `coatcheck submit`, made into a job's input. Every mistake is an InvalidArgumentError."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.client.text import strict_json

MAX_INPUT_SIZE = 64 * 1024**2
"""Bytes of an input that are read; a service takes 1 MiB of JSON unless its owner says otherwise."""

_MAX_DEPTH = 100

Step: TypeAlias = str | int | None

_STEP = re.compile(r"(?P<name>[^.\[\]=]+)|\[(?P<index>\d{0,6})\]")
_FIELD_SYNTAX = "a field is names and list places, such as tables.flights, images[0] or images[] (append)"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to upload, and where in the input its `{"$upload": id}` goes.

    A step of `field` is a name, an index into a list, or None: append to the list.
    """

    field: tuple[Step, ...]
    path: Path


def read_input(text: str, stdin: Callable[[int], bytes]) -> Any:
    """The JSON that `--input` stands for: itself, `@file`, or `-` for standard input, which `stdin` reads."""
    if text == "-":
        return _parse(stdin(MAX_INPUT_SIZE + 1), "standard input")
    if text.startswith("@"):
        try:
            with Path(text[1:]).open("rb") as file:
                return _parse(file.read(MAX_INPUT_SIZE + 1), text[1:])
        except OSError as error:
            raise InvalidArgumentError(f"cannot read {text[1:]}: {error.strerror}") from error
    return _parse(text.encode("utf-8", "surrogateescape"), "--input")


def read_metadata(pairs: Sequence[str]) -> dict[str, str]:
    """`k=v` pairs as a mapping."""
    split = [pair.partition("=") for pair in pairs]
    for (name, equals, _), pair in zip(split, pairs, strict=True):
        if not name or not equals:
            raise InvalidArgumentError(f"--metadata takes NAME=VALUE, not {pair!r}")
    return {name: value for name, _, value in split}


def read_attachment(text: str) -> Attachment:
    """`field=path` of `--upload`."""
    field, equals, path = text.partition("=")
    if not equals or not path:
        raise InvalidArgumentError(f"--upload takes FIELD=PATH, not {text!r}")
    if not Path(path).is_file():
        raise InvalidArgumentError(f"cannot upload {path}: no such file")
    return Attachment(parse_field(field), Path(path))


def parse_field(text: str) -> tuple[Step, ...]:
    """The steps of a field such as `tables.flights` or `pages[0].images[]`."""
    steps: list[Step] = []
    rest = text
    while rest and len(steps) <= _MAX_DEPTH:
        match = _STEP.match(rest)
        if not match:
            break
        steps.append(match["name"] or (int(match["index"]) if match["index"] else None))
        rest = rest[match.end() :]
        if rest.startswith(".") and _STEP.match(rest, 1) and rest[1] != "[":
            rest = rest[1:]
        elif not rest.startswith("["):
            break
    if rest or not steps or not isinstance(steps[0], str) or len(steps) > _MAX_DEPTH:
        raise InvalidArgumentError(f"{text!r} is not a field: {_FIELD_SYNTAX}")
    return tuple(steps)


def format_field(field: tuple[Step, ...]) -> str:
    """The text that `parse_field` reads as these steps."""
    parts = [f".{step}" if isinstance(step, str) else f"[{'' if step is None else step}]" for step in field]
    return "".join(parts).removeprefix(".")


def set_field(document: Any, field: tuple[Step, ...], value: Any) -> Any:
    """A copy of `document` that has `value` at `field`; objects and lists on the way are made where missing.

    An index names a place in the list or the one just behind its end.
    """
    return _set_field(document, field, value, field)


def _set_field(current: Any, steps: tuple[Step, ...], value: Any, field: tuple[Step, ...]) -> Any:
    if not steps:
        return value
    step, below = steps[0], steps[1:]
    at = format_field(field[: len(field) - len(steps)]) or "the input"
    if isinstance(step, str):
        if not isinstance(current, dict | None):
            raise InvalidArgumentError(f"{format_field(field)}: {at} is not an object, and has no field {step!r}")
        fields = current or {}
        return {**fields, step: _set_field(fields.get(step), below, value, field)}
    if not isinstance(current, list | None):
        raise InvalidArgumentError(f"{format_field(field)}: {at} is not a list")
    items = current or []
    index = len(items) if step is None else step
    if index > len(items):
        raise InvalidArgumentError(
            f"{format_field(field)}: {at} has {len(items)} entries, and none can be set at {index}"
        )
    old = items[index] if index < len(items) else None
    return [*items[:index], _set_field(old, below, value, field), *items[index + 1 :]]


def read_seconds(option: str, value: float | None) -> float | None:
    """The number of seconds that was given with an option."""
    if value is not None and not 0 <= value < math.inf:
        raise InvalidArgumentError(f"{option} takes a number of seconds, at least 0")
    return value


def _parse(raw: bytes, source: str) -> Any:
    if len(raw) > MAX_INPUT_SIZE:
        raise InvalidArgumentError(f"{source} has more than {MAX_INPUT_SIZE // 2**20} MiB: send a file with --upload")
    try:
        return strict_json(raw)
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{source} is not UTF-8") from error
    except ValueError as error:
        raise InvalidArgumentError(f"{source} is not JSON: {error}") from error

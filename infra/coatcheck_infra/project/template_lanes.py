"""The lanes of a project in the template, which has the lanes `default` and `heavy`.

`heavy` is the pattern: each lane of the project besides `default` gets what `heavy` has there, under its own names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from coatcheck_infra.project.config import DEFAULT_LANE, ProjectError
from coatcheck_infra.project.lane_config import Lane

Json = dict[str, Any]

SECTIONS = ("Parameters", "Resources", "Outputs")
"""The sections that have entries for each lane."""

PATTERN = "heavy"
"""The lane itself, where a value is its name alone: a dimension of a metric."""

_PATTERN_NAME = re.compile(r"\bHeavy(?=[A-Z])")
_PATTERN_WORDS = re.compile(r"\blane heavy\b")
_PATTERN_QUEUE = re.compile(r', "heavy": "[^"]*"')


def lane_id(lane: str) -> str:
    """Return how the lane's names in the template begin: `gpu-large` is `GpuLarge`."""
    return "".join(part.capitalize() for part in lane.split("-"))


def lane_of_id(name: str) -> str:
    """Return the lane whose names in the template begin with `name`: the reverse of `lane_id`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def render_lanes(template: Json, lanes: Mapping[str, Lane]) -> Json:
    """Return the template with these lanes and no other, and with their sizes as the defaults of its parameters.

    Raises ProjectError if two names would be one in the template.
    """
    more = [lane for lane in lanes if lane != DEFAULT_LANE]
    _check_names(template, more)
    rendered = {
        section: _entries(value, more) if section in SECTIONS else _with_lanes(value, more)
        for section, value in template.items()
    }
    for name, lane in lanes.items():
        for size, number in lane.parameters.items():
            if number is not None and lane.kind == "lambda":
                rendered["Parameters"][f"{lane_id(name)}Lane{size}"]["Default"] = number
    return rendered


def _check_names(template: Json, lanes: Sequence[str]) -> None:
    names = [name for section in SECTIONS for name in template[section]]
    owners = {name: "one of Coatcheck's own" for name in names if not _PATTERN_NAME.match(name)}
    for lane in lanes:
        for made in (renamed(name, lane) for name in names if _PATTERN_NAME.match(name)):
            if made in owners:
                raise ProjectError(
                    f'tool.coatcheck.lanes: the lane "{lane}" needs the name {made} in the template, which is '
                    f"{owners[made]}: give the lane another name"
                )
            owners[made] = f'that of the lane "{lane}"'


def _entries(section: Json, lanes: Sequence[str]) -> Json:
    """Return a section with its entries of the pattern replaced by those of each lane."""
    entries: Json = {}
    for name, value in section.items():
        if _PATTERN_NAME.match(name):
            entries |= {renamed(name, lane): renamed(value, lane) for lane in lanes}
        else:
            entries[name] = _with_lanes(value, lanes)
    return entries


def _with_lanes(value: Any, lanes: Sequence[str]) -> Any:
    """Return a value that all lanes share: lists of ARNs, and JSON from lane to queue, get those of each lane."""
    match value:
        case {"Fn::Sub": str(text)} if _PATTERN_QUEUE.search(text):
            return {"Fn::Sub": _PATTERN_QUEUE.sub(lambda found: _queues(found[0], lanes), text)}
        case dict():
            return {key: _with_lanes(inner, lanes) for key, inner in value.items()}
        case list():
            return [one for inner in value for one in _elements(inner, lanes)]
    return value


def _queues(pattern: str, lanes: Sequence[str]) -> str:
    return "".join(renamed(pattern, lane).replace('"heavy"', f'"{lane}"') for lane in lanes)


def _elements(element: Any, lanes: Sequence[str]) -> list[Any]:
    match element:
        case {"Fn::GetAtt": [str(name), "Arn"]} if _PATTERN_NAME.match(name):
            return [renamed(element, lane) for lane in lanes]
    return [_with_lanes(element, lanes)]


def renamed(value: Any, lane: str) -> Any:
    """Return a value of the pattern, `heavy`, as the lane's."""
    match value:
        case str() if value == PATTERN:
            return lane
        case str():
            return _PATTERN_WORDS.sub(f"lane {lane}", _PATTERN_NAME.sub(lane_id(lane), value))
        case dict():
            return {renamed(key, lane): renamed(inner, lane) for key, inner in value.items()}
        case list():
            return [renamed(inner, lane) for inner in value]
    return value

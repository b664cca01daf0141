"""Keep what another version wrote and this one does not know, and write it back unchanged.

A dataclass that is saved as a whole, as JSON within an attribute, has a field `unknown` for this. Separate attributes
need nothing: no update names more attributes than it changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Protocol

from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import Item

SCHEMA = "schema"
"""The attribute that says from which version on an item may be read and written: in numbers that grow. Most have none.
"""

SLOTS_SCHEMA = 1
"""That of the row of a job that holds or awaits a slot: whoever moves it has to change the counts of its tenant."""

KNOWN_SCHEMA = SLOTS_SCHEMA
"""The highest that this version knows."""


class Dataclass(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class NewerRow(Exception):
    """A newer version wrote this item in a way that this one does not know. Only the newer version may handle it."""


def require_known(item: Item) -> Item:
    """The item itself. Raises NewerRow for one that only newer versions may read."""
    if SCHEMA in item and int(item[SCHEMA]["N"]) > KNOWN_SCHEMA:
        raise NewerRow(f"{item['sk']['S']} of {item['pk']['S']} was written by a newer version of the service")
    return item


def is_known(e: Expression) -> str:
    """The condition that an item has not become one that only newer versions may write."""
    return f"(attribute_not_exists({e.name(SCHEMA)}) OR {e.name(SCHEMA)} <= {e.number(KNOWN_SCHEMA)})"


def to_saved(value: Dataclass, *, but: Collection[str] = ()) -> dict[str, Any]:
    """What to save of a value: its fields except those in `but`, and the unknown members that were read with it."""
    known = asdict(value)
    unknown: dict[str, Any] = known.pop("unknown")
    return unknown | {name: kept for name, kept in known.items() if name not in but}


def from_saved(kind: type[Dataclass], saved: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for a dataclass, from what was saved of it; members without a field are in `unknown`."""
    names = {field.name for field in fields(kind)}
    known = {name: value for name, value in saved.items() if name in names}
    return known | {"unknown": {name: value for name, value in saved.items() if name not in names}}

"""The items and messages of each released version, as they lie in tables and queues, for tests to carry on."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from coatcheck.core.aws.dynamodb.keys import Item

FOLDER = Path(__file__).parent / "data" / "rows"
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit())

ADDED: Item = {"zz_added": {"M": {"by": {"S": "a newer version"}, "list": {"L": [{"N": "7"}]}}}}
"""What a newer version adds to an item without a change of what the rest means."""


def item(version: str, name: str, tenant: str) -> Item:
    """An item as that version wrote it, as if for this tenant."""
    found: Item = read(version, name)
    found["pk"] = {"S": f"{tenant}#{found['pk']['S'].split('#')[1]}"}
    return found | ({"tenant": {"S": tenant}} if "tenant" in found else {})


def read(version: str, name: str) -> Any:
    """What that version wrote under that name."""
    return json.loads((FOLDER / version / f"{name}.json").read_text(encoding="utf-8"), object_hook=_bytes)


def _bytes(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["base64"]) if found.keys() == {"base64"} else found

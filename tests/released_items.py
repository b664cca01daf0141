"""The items and messages of each released version, as they lie in tables and queues, for tests to carry on."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck_infra.local.resources import client

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


class RawItems:
    """A tenant's items as they lie in a table of an emulator."""

    def __init__(self, endpoint_url: str, table: str, tenant: str) -> None:
        self.table = table
        self._tenant = tenant
        self._dynamodb = client("dynamodb", endpoint_url)

    def put(self, version: str, name: str, /, **more: Any) -> Item:
        """An item as `version` wrote it, with `more` attributes."""
        made = item(version, name, self._tenant) | more
        self._dynamodb.put_item(TableName=self.table, Item=made)
        return made

    def add(self, key: Item, /, **more: Any) -> Item:
        """More attributes for the item that stands there."""
        self._dynamodb.put_item(TableName=self.table, Item=self.get(key) | more)
        return self.get(key)

    def get(self, item: Item) -> Item:
        """What has become of it."""
        key = {name: item[name] for name in ("pk", "sk")}
        found: Item = self._dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]
        return found


def _bytes(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["base64"]) if found.keys() == {"base64"} else found

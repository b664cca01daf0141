"""The file in which a stack's state is kept. `up` and the emulator's launcher share it.

It uses only the standard library. Objects are files beside it, in MiniStack's own layout.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STATE_VARIABLE = "COATCHECK_EMULATOR_STATE"
"""Set by `up` for the launcher: the directory of the state. If it is not set, nothing is kept."""

DATABASE = "state.sqlite3"
OBJECTS = "objects"
PORT = "port"
"""The file with the emulator's port."""

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that writes."""

LONGEST_LINK = 7 * 86_400
"""Seconds for which a presigned link can be valid, after which nobody needs the key that signed it."""

Json = dict[str, Any]

_SCHEMA = """
CREATE TABLE origin (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE items (table_name TEXT, pk TEXT, sk TEXT, item TEXT NOT NULL, PRIMARY KEY (table_name, pk, sk));
CREATE TABLE secrets (name TEXT PRIMARY KEY, of_stack INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE messages (id TEXT PRIMARY KEY, message TEXT NOT NULL);
CREATE TABLE earlier_messages (id TEXT PRIMARY KEY, message TEXT NOT NULL);
CREATE TABLE signers (access_key_id TEXT PRIMARY KEY, secret_access_key TEXT NOT NULL, retired_at REAL);
"""


@dataclass(frozen=True)
class ItemKey:
    """A table and the key of an item in it. `sk` is any fixed text if the table has no sort key."""

    table: str
    pk: str
    sk: str


@dataclass(frozen=True)
class KeptMessage:
    """A message in a queue. `visible_at`: the time (seconds) before which nobody receives it."""

    id: str
    queue: str
    body: str
    attributes: Json
    group: str | None
    visible_at: float


class StateStore:
    """The state in a directory. Threads may share it. Every method raises `sqlite3.Error` if the file fails.

    A write is in the file when the method returns: it survives the end of the process. The last writes before a crash
    of the machine may be lost; the file stays consistent.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / DATABASE
        self._lock = threading.Lock()
        self._database = sqlite3.connect(self.file, timeout=LOCK_TIMEOUT, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        self._database.close()

    @classmethod
    def create(cls, directory: Path, origin: Mapping[str, str]) -> StateStore:
        """Make a new state, in a directory that does not exist yet. `origin` says what it belongs to."""
        directory.mkdir(mode=0o700)
        store = cls(directory)
        store._database.execute("PRAGMA journal_mode = WAL")
        store._database.executescript(_SCHEMA)
        with store._transaction() as database:
            database.executemany("INSERT INTO origin VALUES (?, ?)", origin.items())
        return store

    def origin(self) -> dict[str, str]:
        """Return what the state belongs to, in the order in which it was given."""
        return dict(self._database.execute("SELECT name, value FROM origin ORDER BY rowid"))

    def add_origin(self, origin: Mapping[str, str]) -> None:
        """Add to what the state belongs to, as when the template has a store more."""
        with self._transaction() as database:
            database.executemany("INSERT OR IGNORE INTO origin VALUES (?, ?)", origin.items())

    def items(self, table: str) -> list[Json]:
        """Return the items of a table, as DynamoDB's JSON."""
        rows = self._database.execute("SELECT item FROM items WHERE table_name = ?", (table,))
        return [json.loads(item) for (item,) in rows]

    def write_items(self, changes: Mapping[ItemKey, Json | None]) -> None:
        """Write items, or delete those that are None: all or none of them."""
        written = [(key.table, key.pk, key.sk, _compact(item)) for key, item in changes.items() if item is not None]
        deleted = [(key.table, key.pk, key.sk) for key, item in changes.items() if item is None]
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", written)
            database.executemany("DELETE FROM items WHERE table_name = ? AND pk = ? AND sk = ?", deleted)

    def secrets(self, *, of_stack: bool) -> dict[str, Json]:
        """Return MiniStack's records of secrets, by name: those that CloudFormation makes, or the others."""
        rows = self._database.execute("SELECT name, record FROM secrets WHERE of_stack = ?", (of_stack,))
        return {name: json.loads(record) for name, record in rows}

    def write_secrets(self, of_stack: Mapping[str, Json], others: Mapping[str, Json]) -> None:
        """Write the secrets that CloudFormation makes, of which none is deleted, and replace the others."""
        rows = [(name, True, _compact(record)) for name, record in of_stack.items()]
        rows += [(name, False, _compact(record)) for name, record in others.items()]
        with self._transaction() as database:
            database.execute("DELETE FROM secrets WHERE NOT of_stack")
            database.executemany("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?)", rows)

    def messages(self) -> list[KeptMessage]:
        """Return the messages that are in the queues now, the oldest first."""
        rows = self._database.execute("SELECT message FROM messages ORDER BY rowid")
        return [KeptMessage(**json.loads(message)) for (message,) in rows]

    def earlier_messages(self) -> list[KeptMessage]:
        """Return the messages of earlier starts that were not sent again yet, the oldest first."""
        rows = self._database.execute("SELECT message FROM earlier_messages ORDER BY rowid")
        return [KeptMessage(**json.loads(message)) for (message,) in rows]

    def delete_earlier_messages(self, ids: Iterable[str]) -> None:
        with self._transaction() as database:
            database.executemany("DELETE FROM earlier_messages WHERE id = ?", [(one,) for one in ids])

    def write_messages(self, sent: Iterable[KeptMessage], deleted: Iterable[str]) -> None:
        """Add messages, and delete those with the ids `deleted`."""
        with self._transaction() as database:
            rows = [(message.id, _compact(asdict(message))) for message in sent]
            database.executemany("INSERT OR REPLACE INTO messages VALUES (?, ?)", rows)
            database.executemany("DELETE FROM messages WHERE id = ?", [(one,) for one in deleted])

    def add_signer(self, access_key_id: str, secret_access_key: str) -> None:
        """Add a key of this start, which may sign links."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO signers VALUES (?, ?, NULL)", (access_key_id, secret_access_key))

    def begin_start(self, now: float) -> dict[str, str]:
        """Begin a new start, at the time `now`: the queues are empty, and nobody signs with the keys of before.

        Returns the keys of earlier starts, of which links may still be valid.
        """
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO earlier_messages SELECT * FROM messages ORDER BY messages.rowid")
            database.execute("DELETE FROM messages")
            database.execute("UPDATE signers SET retired_at = ? WHERE retired_at IS NULL", (now,))
            database.execute("DELETE FROM signers WHERE retired_at < ?", (now - LONGEST_LINK,))
            return dict(database.execute("SELECT access_key_id, secret_access_key FROM signers"))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._database:
            yield self._database


def _compact(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

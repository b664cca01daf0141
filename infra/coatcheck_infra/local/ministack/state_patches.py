"""Patches that keep over a restart what is in MiniStack's stores: see ADR 111.

CloudFormation makes the stores anew at each start. What was in a store is put back when it is made.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import mmap
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coatcheck_infra.local.state_store import OBJECTS, ItemKey, Json, KeptMessage, StateStore

Function = Callable[..., Any]

MESSAGES_INTERVAL = 0.5
"""Seconds between two writes of the queues' messages."""

NAME_SEED = "kept"
"""Goes into the generated name of a bucket, where MiniStack takes a random text."""

MAPPED_SIZE = 1024**2
"""Bytes from which the file of an object is mapped into memory, not read."""

_READ_ACTIONS = ("Get", "BatchGet", "List", "Describe", "Validate")

log = logging.getLogger("state")


class StateRecorder:
    """Writes to the state what changes in MiniStack's stores.

    If the state cannot be written, it logs that once and tries again at the next change.
    """

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._items: dict[ItemKey, Json | None] = {}
        self._messages: set[str] = set()
        self._stack_secrets: set[str] = set()
        self._failing = False

    def item_changed(self, key: ItemKey, item: Json | None) -> None:
        with self._lock:
            self._items[key] = item

    def write_items(self) -> None:
        """Write the items that changed since the last call, in one transaction."""
        with self._lock:
            changed, self._items = self._items, {}
        if changed and not self._write(lambda: self.store.write_items(changed)):
            with self._lock:
                self._items = changed | self._items

    def write_secrets(self, secrets: Mapping[str, Json], *, of_stack: str | None = None) -> None:
        """Write all secrets. `of_stack` is the name of one that CloudFormation has made."""
        if of_stack:
            self._stack_secrets.add(of_stack)
        own = {name: record for name, record in secrets.items() if name in self._stack_secrets}
        others = {name: record for name, record in secrets.items() if name not in self._stack_secrets}
        self._write(lambda: self.store.write_secrets(own, others))

    def write_messages(self, sqs: Any) -> None:
        """Write which messages came and went since the last call."""
        present = {
            message["id"]: (queue["name"], message)
            for queue in list(sqs._queues._data.values())
            for message in list(queue["messages"])
        }
        sent = [_kept(*found) for id_, found in present.items() if id_ not in self._messages]
        deleted = self._messages - present.keys()
        if (sent or deleted) and self._write(lambda: self.store.write_messages(sent, deleted)):
            self._messages = set(present)

    def add_signer(self, access_key_id: str, secret_access_key: str) -> None:
        self._write(lambda: self.store.add_signer(access_key_id, secret_access_key))

    def _write(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except sqlite3.Error as error:
            if not self._failing:
                log.error("%s cannot be written: %s; what changes now is not kept", self.store.file, error)  # noqa: TRY400
            self._failing = True
            return False
        if self._failing:
            log.warning("%s can be written again", self.store.file)
        self._failing = False
        return True


def _kept(queue: str, message: Mapping[str, Any]) -> KeptMessage:
    # whoever has received it will be gone after a restart: it is then visible at once
    visible_at = 0.0 if message["receive_count"] else message["visible_at"]
    return KeptMessage(
        message["id"], queue, message["body"], message["message_attributes"], message["group_id"], visible_at
    )


def note_set(recorder: StateRecorder, set_item: Function) -> Function:
    """Wrap `set_item` to note that an item was written."""

    def noted(table: Json, pk: Any, sk: Any, item: Json) -> Any:
        old = set_item(table, pk, sk, item)
        recorder.item_changed(ItemKey(table["TableName"], str(pk), str(sk)), item)
        return old

    return noted


def note_removed(recorder: StateRecorder, remove_item: Function) -> Function:
    """Wrap `remove_item` to note that an item was deleted."""

    def noted(table: Json, pk: Any, sk: Any) -> Any:
        old = remove_item(table, pk, sk)
        if old is not None:
            recorder.item_changed(ItemKey(table["TableName"], str(pk), str(sk)), None)
        return old

    return noted


def write_items_first(recorder: StateRecorder, handle: Function) -> Function:
    """Wrap `handle`, which answers DynamoDB's requests, to write what a request changed before it is answered."""

    async def handled(*request: Any) -> Any:
        try:
            return await handle(*request)
        finally:
            recorder.write_items()

    return handled


def write_secrets_first(recorder: StateRecorder, handle: Function) -> Function:
    """Wrap `handle`, which answers Secrets Manager's requests, to write the secrets before a change is answered."""
    secretsmanager = importlib.import_module("ministack.services.secretsmanager")

    async def handled(method: str, path: str, headers: Mapping[str, str], *rest: Any) -> Any:
        answer = await handle(method, path, headers, *rest)
        if not headers.get("x-amz-target", "").rpartition(".")[2].startswith(_READ_ACTIONS):
            recorder.write_secrets(secretsmanager._secrets)
        return answer

    return handled


def keep_messages(recorder: StateRecorder, queues: Any) -> Any:
    """Start to write the messages of the queues, regularly and at the end of the process. Returns `queues` as it is.

    Messages only wake jobs up. A job whose last message was not written is found by the sweeper.
    """
    sqs = importlib.import_module("ministack.services.sqs")

    def write_regularly() -> None:
        while True:
            time.sleep(MESSAGES_INTERVAL)
            recorder.write_messages(sqs)

    threading.Thread(target=write_regularly, daemon=True, name="kept-messages").start()
    atexit.register(recorder.write_messages, sqs)
    return queues


def keep_bodies_on_disk(_persist: bool) -> bool:  # noqa: FBT001 - it replaces a flag
    """Let S3 write objects to files. Not by its environment variable: at its import it would make the buckets too."""
    return True


def map_large_bodies(read_body: Function) -> Function:
    """Wrap `read_body` to map the file of a large object into memory. MiniStack would read all of it for each range."""
    s3 = importlib.import_module("ministack.services.s3")

    def mapped(bucket: str, key: str, stored: Json) -> Any:
        if stored.get("body") is not None or stored.get("size", 0) < MAPPED_SIZE:
            return read_body(bucket, key, stored)
        with Path(s3._object_disk_path(bucket, key)).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return mapped


def unmap_whole_body(get_data: Function) -> Function:
    """Wrap `get_data`, which reads a whole object for other services: they expect bytes."""
    return lambda *which, **version: _bytes_of(get_data(*which, **version))


def unmap_answer(handle: Function) -> Function:
    """Wrap `handle`, which answers S3's requests: the server sends bytes."""

    async def handled(*request: Any, **more: Any) -> Any:
        *rest, body = await handle(*request, **more)
        return (*rest, _bytes_of(body))

    return handled


def _bytes_of(body: Any) -> Any:
    return body[:] if isinstance(body, mmap.mmap) else body


def note_signer(recorder: StateRecorder, credentials: Function) -> Function:
    """Wrap `credentials` to note the key that a function is given: it signs links, which outlive this start."""

    def issued(config: dict[str, Any]) -> dict[str, str]:
        made: dict[str, str] = credentials(config)
        recorder.add_signer(made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"])
        return made

    return issued


def restore_when_made(recorder: StateRecorder, handlers: dict[str, Any]) -> dict[str, Any]:
    """Change CloudFormation's `handlers` of resources to put back what a store held, as soon as it is made."""
    _put_back_other_secrets(recorder.store)
    for kind, restored in (
        ("AWS::DynamoDB::Table", _table_restored),
        ("AWS::S3::Bucket", _bucket_restored),
        ("AWS::SecretsManager::Secret", _secret_restored),
    ):
        handlers[kind] = {**handlers[kind], "create": restored(recorder, handlers[kind]["create"])}
    return handlers


def _table_restored(recorder: StateRecorder, create: Function) -> Function:
    dynamodb = importlib.import_module("ministack.services.dynamodb")

    def created(*resource: Any) -> Any:
        name, attributes = create(*resource)
        table = dynamodb._tables[name]
        for item in recorder.store.items(name):
            pk = dynamodb._extract_key_val(item[table["pk_name"]])
            sk = dynamodb._extract_key_val(item[table["sk_name"]]) if table["sk_name"] else "__no_sort__"
            table["items"][pk][sk] = item
        dynamodb._items_replaced(table)
        return name, attributes

    return created


def _bucket_restored(recorder: StateRecorder, create: Function) -> Function:
    s3: Any = importlib.import_module("ministack.services.s3")
    provisioners = importlib.import_module("ministack.services.cloudformation.provisioners")
    responses = importlib.import_module("ministack.core.responses")
    s3.DATA_DIR = str(recorder.store.directory / OBJECTS)

    def created(*resource: Any) -> Any:
        if not provisioners._NAME_SEED.get():
            provisioners._NAME_SEED.set(NAME_SEED)
        name, attributes = create(*resource)
        account = responses.get_account_id()
        directory = Path(s3.DATA_DIR, account, name)
        directory.mkdir(parents=True, exist_ok=True)
        s3._load_persisted_bucket(account, name, str(directory))
        return name, attributes

    return created


def _secret_restored(recorder: StateRecorder, create: Function) -> Function:
    secrets = importlib.import_module("ministack.services.secretsmanager")._secrets

    def created(*resource: Any) -> Any:
        name, attributes = create(*resource)
        secrets[name] = recorder.store.secrets(of_stack=True).get(name, secrets[name])
        recorder.write_secrets(secrets, of_stack=name)
        arn = secrets[name]["ARN"]
        return name, {**attributes, "Id": arn, "Arn": arn}

    return created


def _put_back_other_secrets(store: StateStore) -> None:
    secrets = importlib.import_module("ministack.services.secretsmanager")._secrets
    for name, record in store.secrets(of_stack=False).items():
        secrets[name] = record

"""What `up` keeps over a restart: opens the state in its home, refuses one of another version, sends messages again."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coatcheck_infra.local.state_store import DATABASE, OBJECTS, KeptMessage, StateStore
from coatcheck_infra.local.terminal import LineWriter
from coatcheck_infra.local.up_error import UpError, user_message
from coatcheck_infra.toolchain.environments import MINISTACK

FORMAT = "1"
"""The version of the state's own format: the tables of `state_store`, and MiniStack's records in them."""

LARGE_BYTES = 2 * 1024**3
LARGE_ROWS = 128 * 1024**2
"""Above these sizes, of all that is kept and of the rows alone, `up` says so at its start."""

MOST_ROWS = 512 * 1024**2
"""Above this size of the rows, `up` refuses to start."""

MEMORY_PER_BYTE = 8
"""What MiniStack takes of memory for a byte of rows on disk, measured with 100,000 rows of jobs."""

CODE_BUCKET = "coatcheck-code"
"""Where `up --whole` puts the zips of its functions, anew at each start."""

BATCH = 10
MAX_DELAY = 900
"""Limits of SQS: messages in a SendMessageBatch, seconds of DelaySeconds."""

REMEDY = "start once with --fresh, which discards the jobs and files that it holds"

Json = dict[str, Any]


def open_state(directory: Path, origin: Mapping[str, str], write_line: LineWriter, *, fresh: bool) -> None:
    """Make the state in `directory`, or check the one that is there. `fresh` discards it first.

    Raises `UpError` if it cannot be read, belongs to another `origin`, or is too large.
    """
    try:
        if fresh and directory.exists():
            shutil.rmtree(directory)
            write_line(f"discarded what was kept in {directory}")
        if not directory.exists():
            # renamed when it is complete: a kill must not leave one that cannot be read
            draft = directory.with_name(f"{directory.name}.new")
            shutil.rmtree(draft, ignore_errors=True)
            StateStore.create(draft, origin).close()
            draft.rename(directory)
            return
        _check_origin(directory, origin)
        _check_size(directory, write_line)
    except sqlite3.Error as error:
        raise UpError(f"the state in {directory} cannot be read ({error}): {REMEDY}") from error
    except OSError as error:
        raise UpError(f"cannot use the state in {directory}: {user_message(error)}") from error


def origin_of(template: Json) -> dict[str, str]:
    """Return what a state belongs to: a format, the pinned MiniStack, and a template's stores by their logical names.

    Queues are not named: lanes may come and go.
    """
    stores = {"AWS::DynamoDB::Table": "table", "AWS::S3::Bucket": "bucket", "AWS::SecretsManager::Secret": "secret"}
    layout = {
        f"{stores[resource['Type']]} {name}": _keys_of(resource)
        for name, resource in template["Resources"].items()
        if resource["Type"] in stores
    }
    return {"format": FORMAT, "MiniStack": _pinned_ministack(), **layout}


def send_messages_again(directory: Path, sqs: Any) -> int:
    """Send the messages that were in the queues when the stack stopped, and return how many.

    Nobody holds one any more, so all can be received at once, but for those that were delayed. Messages for a queue
    that is gone are dropped: the sweeper sends one again for each job that waits.
    """
    sent = 0
    by_queue: dict[str, list[KeptMessage]] = defaultdict(list)
    with contextlib.closing(StateStore(directory)) as store:
        for message in store.earlier_messages():
            by_queue[message.queue].append(message)
        for queue, messages in by_queue.items():
            url = _url_of(sqs, queue)
            for start in range(0, len(messages), BATCH):
                batch = messages[start : start + BATCH]
                if url:
                    answer = sqs.send_message_batch(QueueUrl=url, Entries=[_entry(message) for message in batch])
                    sent += len(answer.get("Successful", []))
                store.delete_earlier_messages([message.id for message in batch])
    return sent


def _pinned_ministack() -> str:
    pinned = re.search(r"^ministack==(\S+)", MINISTACK.lock.read_text(), re.MULTILINE)
    assert pinned is not None
    return pinned[1]


def _keys_of(resource: Json) -> str:
    properties = resource.get("Properties", {})
    types = {one["AttributeName"]: one["AttributeType"] for one in properties.get("AttributeDefinitions", [])}
    keys = [f"{key['AttributeName']} {types[key['AttributeName']]}" for key in properties.get("KeySchema", [])]
    return f"({', '.join(keys)})" if keys else ""


def _check_origin(directory: Path, origin: Mapping[str, str]) -> None:
    if not (directory / DATABASE).exists():
        raise UpError(f"the state in {directory} has no {DATABASE}: {REMEDY}")
    with contextlib.closing(StateStore(directory)) as store:
        for name, made_with in store.origin().items():
            if (now := origin.get(name)) != made_with:
                instead = "there is none now" if now is None else f"this is {name} {now}".rstrip()
                raise UpError(f"the state in {directory} is of {f'{name} {made_with}'.rstrip()}, {instead}: {REMEDY}")
        store.add_origin(origin)


def _check_size(directory: Path, write_line: LineWriter) -> None:
    rows = sum(file.stat().st_size for file in directory.glob(f"{DATABASE}*"))
    size = rows + _remove_rests(directory / OBJECTS)
    described = (
        f"{_megabytes(rows)} of rows, for which the emulator needs {_megabytes(rows * MEMORY_PER_BYTE)} of memory"
    )
    if rows > MOST_ROWS:
        raise UpError(f"the state in {directory} has {described}: {REMEDY}")
    if size > LARGE_BYTES or rows > LARGE_ROWS:
        write_line(f"the state in {directory} takes {_megabytes(size)}, {described}; to be rid of it, {REMEDY}")


def _remove_rests(objects: Path) -> int:
    """Remove half-written files, empty folders and the code of functions. Returns the bytes that remain."""
    for code in objects.glob(f"*/{CODE_BUCKET}"):
        shutil.rmtree(code)
    size = 0
    for folder, _, files in os.walk(objects, topdown=False):
        for file in (Path(folder, name) for name in files):
            if file.suffix == ".tmp":
                file.unlink()
            else:
                size += file.stat().st_size
        with contextlib.suppress(OSError):  # it is not empty
            Path(folder).rmdir()
    return size


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _url_of(sqs: Any, queue: str) -> str | None:
    try:
        return str(sqs.get_queue_url(QueueName=queue)["QueueUrl"])
    except sqs.exceptions.QueueDoesNotExist:
        return None


def _entry(message: KeptMessage) -> Json:
    delay = min(max(0, round(message.visible_at - time.time())), MAX_DELAY)
    group = {"MessageGroupId": message.group} if message.group else {}
    attributes = {"MessageAttributes": message.attributes} if message.attributes else {}
    return {"Id": message.id, "MessageBody": message.body, "DelaySeconds": delay, **group, **attributes}

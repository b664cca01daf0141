"""A job as a DynamoDB item and back: one line for each field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.dynamodb.compatibility import NewerRow, require_known
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item, JobKey
from coatcheck.core.aws.dynamodb.proxied_rows import REQUEST, with_derived
from coatcheck.core.job import JSON, Blob, Job, JobError, JobEvent, Legs, Progress
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.pack import pack, to_json, unpack
from coatcheck.core.priority import Priority
from coatcheck.core.trace import TraceContext


@dataclass(frozen=True, slots=True)
class Codec:
    """How one field is written and read."""

    encode: Callable[[Any], AttributeValue]
    decode: Callable[[AttributeValue], Any]


def _packed(value: Any) -> AttributeValue:
    return {"B": pack(to_json(value))}


def _unpacked(attribute: AttributeValue) -> Any:
    return json.loads(unpack(attribute["B"]))


def encode_blob(blob: Blob) -> AttributeValue:
    """A blob as a map. Left out is what is as it mostly is, and what follows from bytes that are there themselves."""
    entry: Item = {}
    if blob.inline is None:
        entry |= {"size": {"N": str(blob.size)}, "sha256": {"B": blob.sha256}}
    else:
        entry["data"] = {"B": pack(blob.inline)}
    if blob.content_type != JSON:
        entry["type"] = {"S": blob.content_type}
    if blob.filename is not None:
        entry["name"] = {"S": blob.filename}
    return {"M": entry}


def decode_blob(attribute: AttributeValue) -> Blob:
    """The blob in a map made by `encode_blob`."""
    entry = attribute["M"]
    content_type = entry["type"]["S"] if "type" in entry else JSON
    filename = entry["name"]["S"] if "name" in entry else None
    if "data" in entry:
        return Blob.of(unpack(bytes(entry["data"]["B"])), content_type, filename)
    return Blob(int(entry["size"]["N"]), bytes(entry["sha256"]["B"]), content_type, filename)


def encode_event(event: JobEvent) -> AttributeValue:
    """One line of text: a history of a dozen events has to fit in a row of 1 KB."""
    cause = f"|{event.error.code}|{event.error.detail}" if event.error else ""
    return {"S": f"{event.type}|{event.at}{cause}"}


def decode_event(attribute: AttributeValue) -> JobEvent:
    """The event in a line made by `encode_event`."""
    kind, at, *cause = attribute["S"].split("|", 3)
    return JobEvent(kind, int(at), JobError(*cause) if cause else None)


def encode_events(events: Sequence[JobEvent]) -> AttributeValue:
    """A list of events."""
    return {"L": [encode_event(event) for event in events]}


def decode_events(attribute: AttributeValue) -> tuple[JobEvent, ...]:
    """The events of a list made by `encode_events`."""
    return tuple(decode_event(entry) for entry in attribute["L"])


_TEXT = Codec(lambda v: {"S": v}, lambda a: a["S"])
_NUMBER = Codec(lambda v: {"N": str(v)}, lambda a: int(a["N"]))
_BYTES = Codec(lambda v: {"B": v}, lambda a: bytes(a["B"]))
_JSON = Codec(_packed, _unpacked)
_BLOB = Codec(encode_blob, decode_blob)

_CODECS: Mapping[str, Codec] = {
    "tenant": _TEXT,
    "type": _TEXT,
    "lane": _TEXT,
    "status": Codec(lambda v: {"S": str(v)}, lambda a: Status(a["S"])),
    "version": _NUMBER,
    # the sort key of `by_tenant` as well, so a text that sorts as the number does
    "created_at": Codec(lambda v: {"S": f"{v:013d}"}, lambda a: int(a["S"])),
    "updated_at": _NUMBER,
    "expires_at": _NUMBER,
    "due_at": _NUMBER,
    "due_shard": _TEXT,
    "run_at": _NUMBER,
    "start_at": _NUMBER,
    "queue_deadline": _NUMBER,
    "started_at": _NUMBER,
    "claimed_at": _NUMBER,
    "finished_at": _NUMBER,
    "lease_until": _NUMBER,
    "owner": _TEXT,
    "attempt": _NUMBER,
    "max_attempts": _NUMBER,
    "timeout": _NUMBER,
    "retention": _NUMBER,
    "digest": _BYTES,
    "meant": _BYTES,
    "input": _BLOB,
    "progress": Codec(
        lambda v: _packed([v.fraction, v.message]),
        lambda a: Progress(*_unpacked(a)[:2]),
    ),
    "error": Codec(lambda v: _packed([v.code, v.detail]), lambda a: JobError(*_unpacked(a)[:2])),
    "result": _BLOB,
    "artifact_count": _NUMBER,
    "checkpoint": _BLOB,
    "metadata": _JSON,
    "webhook": _JSON,
    "notify": Codec(lambda v: {"S": " ".join(v)}, lambda a: tuple(a["S"].split())),
    "base_url": _TEXT,
    "started_version": _NUMBER,
    "replayed_from": _TEXT,
    "dispatches": _NUMBER,
    "history": Codec(encode_events, decode_events),
    "history_from": _NUMBER,
    "dead_letter": _TEXT,
    "type_missed_at": _NUMBER,
    "counted": Codec(lambda v: {"S": " ".join(v)}, lambda a: tuple(a["S"].split())),
    "legs": Codec(
        lambda v: {"S": f"{v.count} {v.last} {v.kept} {v.artifacts}"},
        lambda a: Legs(*map(int, a["S"].split()[:4])),
    ),
    "priority": Codec(lambda v: {"S": str(v)}, lambda a: Priority(a["S"])),
    "slot": Codec(lambda v: {"S": str(v)}, lambda a: Slot(a["S"])),
    "home_shard": _TEXT,
    "trace": Codec(lambda v: {"B": v.pack()}, lambda a: TraceContext.unpack(bytes(a["B"]))),
}

_STATUSES = frozenset(Status)
_ATTRIBUTES = {"created_at": "listed"}
_DEFAULTS: Mapping[str, Any] = {
    "artifact_count": 0,
    "metadata": {},
    "dispatches": 0,
    "history_from": 1,
    "notify": (),
    "counted": (),
    "legs": Legs(),
    "priority": Priority.NORMAL,
    "slot": Slot.NONE,
}


def attribute_name(field: str) -> str:
    """The attribute that holds a field of Job."""
    return _ATTRIBUTES.get(field, field)


_FIELDS = tuple((field, attribute_name(field), codec, _DEFAULTS.get(field)) for field, codec in _CODECS.items())
_BY_ATTRIBUTE = {name: (field, codec.decode) for field, name, codec, _ in _FIELDS}


def unset(field: str) -> Any:
    """What a field of Job is when the row has no attribute for it."""
    return _DEFAULTS.get(field)


def encode_field(field: str, value: Any) -> AttributeValue:
    """A field's value as an attribute value."""
    return _CODECS[field].encode(value)


def encode_job(job: Job) -> Item:
    """The row of a new job. Fields that are unset or as they are by default are left out."""
    item = JobKey(job.tenant, job.id).item()
    for field, name, codec, default in _FIELDS:
        value = getattr(job, field)
        if value is not None and value is not default and value != default:
            item[name] = codec.encode(value)
    return item


def decode_job(item: Item) -> Job:
    """The job in a row. Raises NewerRow."""
    key = JobKey.of(require_known(item))
    if REQUEST in item:
        item = with_derived(item)
    if item["status"]["S"] not in _STATUSES:
        raise NewerRow(f"{key.id} was written by a newer version of the service")
    known = ((_BY_ATTRIBUTE[name], value) for name, value in item.items() if name in _BY_ATTRIBUTE)
    return Job(id=key.id, **{field: decode(value) for (field, decode), value in known})

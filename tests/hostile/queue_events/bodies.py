"""Bodies of messages: what the service sends, what was made of it on the way, and what it never sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeAlias

from pydantic import BaseModel

from coatcheck.core.messages import DeliveryMessage, JobMessage

Fields: TypeAlias = dict[str, Any]

VALID: Mapping[type[BaseModel], Fields] = {
    JobMessage: {"v": 1, "tenant": "acme", "job": "job_0h2j4kq8c5v1m9d3s7n6p0r4t0"},
    DeliveryMessage: {
        "v": 1,
        "tenant": "acme",
        "of": "job_0h2j4kq8c5v1m9d3s7n6p0r4t0",
        "made": 1_800_000_000_000,
        "delivery": "dlv_0h2j4kq8c5v1m9d3s7n6p0r4t0",
        "endpoint": "whe_0h2j4kq8c5v1m9d3s7n6p0r4t0",
    },
}
"""One message of each kind. A test compares their fields with those of the models."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**63, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", " ", "1", "null",
    "job_", "job_1", "job_1\n", "job_" + "a" * 60, "job_" + "a" * 61, "JOB_1", "upl_1", "evt_1", "key_1",
    "dlv_1", "whe_1", "whe_jobs", "../other", "acme/../other", "acme#job_1", "#keys", "a" * 64, "a" * 65, "a" * 100_000,
    "\u0430cme", "acme\u200b", "\x00", "\r\n", "\x1b[2J", "\u2028", "\U0001f600", "\ud800",
    "${jndi:ldap://x}", "{{7*7}}", "'; DROP TABLE jobs; --",
    [], ["acme"], [[[[]]]], {}, {"S": "acme"}, {"$upload": "upl_1"},
)  # fmt: skip
"""What stands in a field in place of what belongs there."""

FOREIGN: tuple[str, ...] = (
    "", " ", "\x00", "null", "true", "0", "-", "[]", "{}", '"', "{", "}", "[" * 5_000, '{"a":' * 5_000, "NaN", "1e999",
    '{"v":1,"v":2}', '{"v":1,"tenant":"acme","tenant":"other","job":"job_1"}', "\ufeff{}", '{"v":1}{"v":1}', "<xml/>",
    '{"v":1,"tenant":"\\ud800","job":"job_1"}', '{"v":1,"tenant":"acme","job":"job_\\u0000"}', "9" * 10_000,
    '{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:x:1:y","Message":"{}"}',
    '{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"b"}}}]}',
    '{"detail-type":"Scheduled Event","source":"aws.events","detail":{}}', "\ud800", "\U0010ffff",
)  # fmt: skip
"""What other senders put into a queue, or somebody who may write to it."""


_SYNTAX = ("", '"', "\\", "{", "]", ",", "\x00", "\u202e", "\\u")


def make_body(random: Random) -> str:
    """One body; about one in five is a message as the service sends it."""
    (make,) = random.choices(tuple(_KINDS), tuple(_KINDS.values()))
    return make(random)


def _valid(random: Random) -> str:
    return json.dumps(_fields(random))


def _fields(random: Random) -> Fields:
    fields = dict(random.choice(tuple(VALID.values())))
    for name in ("tenant", "job", "of"):
        if name in fields:
            fields[name] += str(random.randrange(1000))
    return fields


def _with_changed_fields(random: Random) -> str:
    fields = _fields(random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        name = random.choice((*fields, "extra", "__class__"))
        if random.random() < 0.2:
            fields.pop(name, None)
        else:
            fields[name] = random.choice(VALUES)
    return json.dumps(fields, ensure_ascii=random.random() < 0.5)


def _with_changed_text(random: Random) -> str:
    text = _valid(random)
    for _ in range(random.choice((1, 1, 2, 5))):
        start = random.randrange(len(text) + 1)
        stop = min(len(text), start + random.choice((0, 1, 1, 3, 20)))
        inserted = random.choice(
            ("", '"', "\\", "{", "]", ",", "\x00", "\u202e", "\\u", chr(random.randrange(0x10FFFF)))
        )
        text = text[:start] + inserted + text[stop:]
    return text


def _random_json(random: Random) -> str:
    return json.dumps(_value(random, depth=4), ensure_ascii=random.random() < 0.5)


def _value(random: Random, depth: int) -> Any:
    if depth and random.random() < 0.5:
        names = [random.choice((*VALID[DeliveryMessage], "job", "x")) for _ in range(random.randrange(5))]
        if random.random() < 0.5:
            return {name: _value(random, depth - 1) for name in names}
        return [_value(random, depth - 1) for _ in names]
    return random.choice(VALUES)


def _foreign(random: Random) -> str:
    return random.choice(FOREIGN)


def _random_text(random: Random) -> str:
    return "".join(chr(random.randrange(0x10FFFF)) for _ in range(random.randrange(200)))


_KINDS: Mapping[Callable[[Random], str], int] = {
    _valid: 20,
    _with_changed_fields: 35,
    _with_changed_text: 20,
    _random_json: 10,
    _foreign: 10,
    _random_text: 5,
}
"""Each kind, and how many of a hundred bodies are of it."""

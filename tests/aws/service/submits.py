"""Generated submits: such as the service proxy carries, and such as it does not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.types import job
from coatcheck_infra.project.proxied_types import ProxiedType
from coatcheck_infra.project.request_models import submit_model

HOSTILE = (
    *("", " ", "it's", '"', "\\", "\\'", "/", "</script>", "${x} $x $!x #set($y = 1) ##", "#if(true)", "$util", "%00"),
    *("\u0000", "\n\t\r", "\x7f", "é", "\u2028", "日本語", "😀", "\ufeff", "{}", "[]", "null", "a'b\"c\\d/e"),
)
NUMBERS = (0, -1, 1.10, 10.00, 1e22, -0.0, 1e-7, 123456789012345678901234567890, 2**53 + 1, 0.1 + 0.2)


CHANGES: tuple[dict[str, Any], ...] = (
    {"delay": 60},
    {"unknown": 1},
    {"type": "letters.lost"},
    {"metadata": {"": "no name"}},
    {"input": {"text": "x", "count": -1}},
    {"input": {"text": "long", "note": "n" * 700}},
)
HEADERS = (
    {"Prefer": "wait=0"},
    {"Content-Type": "text/plain"},
    {"Idempotency-Key": "with space"},
    {"Idempotency-Key": "a/slash"},
    {"Idempotency-Key": "x" * 200},
)
"""What makes a submit one that is not carried: other members, or other headers."""


class Part(BaseModel):
    """A member that is an object."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=30)
    weight: float | None = None


class Letter(BaseModel):
    """What a model of API Gateway can say."""

    text: str = Field(max_length=60)
    count: int = Field(default=1, ge=0, le=1000)
    kind: Literal["plain", "urgent"] = "plain"
    parts: list[Part] = Field(default_factory=list)
    numbers: list[float] = Field(default_factory=list)
    note: str | None = None


class Anything(RootModel[Any]):
    """What the handler has been given."""


@job("letters.send", timeout=90, max_attempts=4)
def send(given: Letter, _: Context) -> Anything:
    """Give back what was given."""
    return Anything(given.model_dump(exclude_unset=True))


LETTERS = ProxiedType(send.name, send.lane, send.timeout, send.max_attempts, submit_model(send.name, Letter))
"""The job type as the template of a project has it."""


@dataclass(frozen=True)
class Submit:
    """A request to be sent."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def submits(count: int, seed: int = 1) -> Iterator[Submit]:
    """So many submits, the same for the same seed; of ten, about seven can be carried."""
    chance = random.Random(seed)
    used: list[tuple[str, bytes]] = []
    for number in range(count):
        headers = {"Content-Type": "application/json"}
        body = _body(chance)
        if chance.random() < 0.5:
            key = chance.choice(("k-{}", "{}_of", "K{}")).format(number)
            if used and chance.random() < 0.45:
                key, before = chance.choice(used)
                body = before if chance.random() < 0.8 else body
            else:
                used.append((key, body))
            headers[chance.choice(("Idempotency-Key", "idempotency-key"))] = key
        if chance.random() < 0.2:
            body, more = _not_carried(chance, body)
            headers = {name: value for name, value in headers.items() if name.title() not in more} | more
        yield Submit(body, headers)


def _body(chance: random.Random) -> bytes:
    given: dict[str, Any] = {"text": _text(chance)}
    if chance.random() < 0.4:
        given["count"] = chance.randrange(1001)
    if chance.random() < 0.3:
        given["kind"] = "urgent"
    if chance.random() < 0.3:
        given["parts"] = [{"name": _text(chance)[:30]} for _ in range(chance.randrange(3))]
    if chance.random() < 0.3:
        given["numbers"] = [chance.choice(NUMBERS) for _ in range(chance.randrange(4))]
    request: dict[str, Any] = {"type": "letters.send", "input": given}
    if chance.random() < 0.4:
        request["metadata"] = {_text(chance)[:12] or "a": _text(chance) for _ in range(chance.randrange(4))}
    compact = chance.random() < 0.5
    text = json.dumps(
        request, ensure_ascii=chance.random() < 0.5, separators=(",", ":") if compact else None, indent=None
    )
    return text.encode()


def _text(chance: random.Random) -> str:
    return "".join(chance.choice(HOSTILE) for _ in range(chance.randrange(3)))


def _not_carried(chance: random.Random, body: bytes) -> tuple[bytes, dict[str, str]]:
    """The submit changed, so that only the ordinary path can answer it."""
    request = json.loads(body)
    if chance.random() < 0.5:
        return body, chance.choice(HEADERS)
    if chance.random() < 0.1:
        return body[:-1], {}
    return json.dumps({**request, **chance.choice(CHANGES)}).encode(), {}

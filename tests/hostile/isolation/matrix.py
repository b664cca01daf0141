"""The isolation matrix: what each operation answers to whom, for what is another tenant's and for what never was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from tests.aws.service.running_service import Api
from tests.hostile.isolation.credentials import MISSING_SCOPE, OF_TENANTS, REFUSED, Headers, KeyRing, good
from tests.hostile.isolation.operations import PUBLIC, Operation
from tests.hostile.isolation.victim import MARKER, Names, Thing

UNLIKE = frozenset({"date", "x-request-id"})
"""Headers that differ from one answer to the next."""


@dataclass(frozen=True)
class Answer:
    """What was answered: all that a client could tell two answers apart by, and the requests to AWS that it took."""

    status: int
    headers: Mapping[str, str]
    body: str
    calls: Sequence[str]


@dataclass(frozen=True)
class Row:
    """One cell of the matrix: two requests that differ only in whether what they name is there.

    Of bad credentials, one request: its answer cannot depend on what is there, since nothing is read for it.
    """

    operation: Operation
    who: str
    what: str
    there: Answer
    nowhere: Answer

    @property
    def alike(self) -> bool:
        """Whether nothing in the two answers tells them apart."""
        return self.there == self.nowhere

    @property
    def leaks(self) -> bool:
        """Whether the answer shows anything of the victim's."""
        return MARKER in self.there.body or any(MARKER in value for value in self.there.headers.values())


@dataclass(frozen=True)
class Asker:
    """Sends requests of a tenant, and returns the answers without what differs between any two."""

    api: Api
    http: httpx.Client

    def ask(self, operation: Operation, names: Names, headers: Headers) -> Answer:
        """Send one request."""
        self.api.spy.calls.clear()
        answer = self.http.request(operation.method, operation.url(names), headers=headers, json=operation.body)
        hidden = {value: f"<{name}>" for name, value in names.items()} | {answer.headers["x-request-id"]: "<request>"}
        kept = {name: _without(hidden, value) for name, value in answer.headers.items() if name not in UNLIKE}
        return Answer(answer.status_code, kept, _without(hidden, answer.text), self.api.spy.operations)


def rows(asker: Asker, found: Sequence[Operation], things: Sequence[Thing], keys: KeyRing, own: Names) -> Iterator[Row]:
    """Yield each cell. `own` names what the asker has: what is another's is looked for in there as well."""
    _show_once(asker, [good(keys), *(headers for one in found for headers in _lesser(keys, one).values())])
    for operation in found:
        asked_for = foreign(operation, things, own)
        for thing in asked_for:
            there, nowhere = (asker.ask(operation, names, good(keys)) for names in (thing.names, thing.renamed()))
            yield Row(operation, ANOTHER, thing.label, there, nowhere)
        named = (asked_for or [Thing("nothing", dict.fromkeys(operation.path_parameters, "job_1"))])[0]
        for who, headers in _lesser(keys, operation).items():
            refusal = asker.ask(operation, named.names, headers)
            yield Row(operation, who, named.label, refusal, refusal)


def _show_once(asker: Asker, credentials: Sequence[Headers]) -> None:
    """Let the service look up all credentials: what it keeps of them is not read while the matrix is asked for."""
    for headers in {tuple(one): one for one in credentials}.values():
        asker.http.get("/v1/job-types", headers=headers)


ANOTHER = "another tenant"


def foreign(operation: Operation, things: Sequence[Thing], own: Names) -> list[Thing]:
    """Return what an operation can be asked for of another tenant's, where it is and inside of what is one's own."""
    needed = operation.path_parameters
    whole = [thing for thing in things if thing.names and thing.names.keys() == needed]
    return whole + [thing.inside(own) for thing in whole if needed & own.keys() and needed - own.keys()]


def _lesser(keys: KeyRing, operation: Operation) -> dict[str, Headers]:
    if operation.id in PUBLIC:
        return {}
    refused = {who: make(keys) for who, make in REFUSED.items()}
    if operation.for_operators:
        return refused | {who: make(keys) for who, make in OF_TENANTS.items()}
    lacking = {who: headers for who, make in MISSING_SCOPE.items() if (headers := make(keys, operation)) is not None}
    return {**refused, **lacking}


def _without(hidden: Mapping[str, str], text: str) -> str:
    for value, shown in hidden.items():
        text = text.replace(value, shown)
    return text

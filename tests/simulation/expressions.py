"""DynamoDB's expressions, as far as the kernel writes them: parsed once for each text, then called on items."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item


class ValidationError(Exception):
    """An expression that DynamoDB would refuse, or one the kernel never writes: the message says which part."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the aliases and placeholders of one request stand for."""

    attributes: Mapping[str, str]
    values: Mapping[str, AttributeValue]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Names:
        """Those of a request."""
        return cls(params.get("ExpressionAttributeNames", {}), params.get("ExpressionAttributeValues", {}))


Condition = Callable[[Item, Names], bool]
Operand = Callable[[Item, Names], AttributeValue | None]


@dataclass(frozen=True, slots=True)
class Update:
    """A parsed update expression: what is set, by alias, and what is removed."""

    sets: Sequence[tuple[str, Operand]]
    removes: Sequence[str]

    def apply(self, item: Item, names: Names) -> Item:
        """The item after the update; every operand is read from the item as it was before."""
        changed = dict(item)
        for alias, operand in self.sets:
            value = operand(item, names)
            if value is None:
                raise ValidationError(f"{alias} is set to an attribute that is not there")
            changed[names.attributes[alias]] = value
        for alias in self.removes:
            changed.pop(names.attributes[alias], None)
        return changed


@functools.cache
def condition(text: str) -> Condition:
    """A condition, a key condition or a filter."""
    parser = _Parser(text)
    found = parser.any_of()
    parser.end()
    return found


@functools.cache
def update(text: str) -> Update:
    """An update expression of SET and REMOVE."""
    parser = _Parser(text)
    sets: list[tuple[str, Operand]] = []
    removes: list[str] = []
    while not parser.at_end:
        match parser.take():
            case "SET":
                sets += parser.listed(parser.assignment)
            case "REMOVE":
                removes += parser.listed(parser.alias)
            case other:
                raise ValidationError(f"{other!r} begins no clause of an update")
    aliases = [alias for alias, _ in sets] + removes
    if len(set(aliases)) < len(aliases):
        raise ValidationError("two clauses change one attribute")
    return Update(sets, removes)


_TOKEN = re.compile(r"\s*(#\w+|:\w+|\w+|<=|>=|<>|[=<>(),+-])")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _tokens(text: str) -> list[str]:
    found = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValidationError(f"cannot read {text[at:]!r}")
        found.append(match[1])
        at = match.end()
    return found


class _Parser:
    """Recursive descent; every method leaves the position behind what it read."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._tokens)

    def end(self) -> None:
        if not self.at_end:
            raise ValidationError(f"{self._tokens[self._at]!r} is too much")

    def take(self, expected: str | None = None) -> str:
        token = "the end" if self.at_end else self._tokens[self._at]
        if expected is not None and token != expected:
            raise ValidationError(f"{expected!r} is expected, not {token!r}")
        self._at += 1
        return token

    def listed(self, one: Callable[[], Any]) -> list[Any]:
        found = [one()]
        while self._takes(","):
            found.append(one())
        return found

    def alias(self) -> str:
        token = self.take()
        if not token.startswith("#"):
            raise ValidationError(f"{token!r} is no alias")
        return token

    def assignment(self) -> tuple[str, Operand]:
        alias = self.alias()
        self.take("=")
        left = self._operand()
        for sign, times in (("+", 1), ("-", -1)):
            if self._takes(sign):
                return alias, _sum(left, self._operand(), times=times)
        return alias, left

    def any_of(self) -> Condition:
        found = [self._all_of()]
        while self._takes("OR"):
            found.append(self._all_of())
        return found[0] if len(found) == 1 else lambda item, names: any(one(item, names) for one in found)

    def _all_of(self) -> Condition:
        found = [self._one()]
        while self._takes("AND"):
            found.append(self._one())
        return found[0] if len(found) == 1 else lambda item, names: all(one(item, names) for one in found)

    def _one(self) -> Condition:
        if self._takes("("):
            inner = self.any_of()
            self.take(")")
            return inner
        if self._takes("NOT"):
            negated = self._one()
            return lambda item, names: not negated(item, names)
        if self._takes("attribute_not_exists"):
            return self._exists(wanted=False)
        if self._takes("attribute_exists"):
            return self._exists(wanted=True)
        if self._takes("begins_with"):
            return self._begins_with()
        return self._comparison(self._operand())

    def _exists(self, *, wanted: bool) -> Condition:
        self.take("(")
        alias = self.alias()
        self.take(")")
        return lambda item, names: (names.attributes[alias] in item) is wanted

    def _begins_with(self) -> Condition:
        self.take("(")
        whole = self._operand()
        self.take(",")
        start = self._operand()
        self.take(")")
        return lambda item, names: str(_plain(whole(item, names))).startswith(str(_plain(start(item, names))))

    def _comparison(self, left: Operand) -> Condition:
        word = self.take()
        if word == "BETWEEN":
            low = self._operand()
            self.take("AND")
            high = self._operand()
            return lambda item, names: (
                _compare(operator.ge, left(item, names), low(item, names))
                and _compare(operator.le, left(item, names), high(item, names))
            )
        if word == "IN":
            self.take("(")
            options = self.listed(self._operand)
            self.take(")")
            return lambda item, names: any(
                _compare(operator.eq, left(item, names), option(item, names)) for option in options
            )
        compare = _COMPARISONS.get(word)
        if compare is None:
            raise ValidationError(f"{word!r} compares nothing")
        right = self._operand()
        return lambda item, names: _compare(compare, left(item, names), right(item, names))

    def _operand(self) -> Operand:
        token = self.take()
        if token.startswith("#"):
            return lambda item, names: item.get(names.attributes[token])
        if token.startswith(":"):
            return lambda _, names: names.values[token]
        make = {"if_not_exists": _first, "list_append": _joined}.get(token)
        if make is None:
            raise ValidationError(f"{token!r} is no operand")
        self.take("(")
        left = self._operand()
        self.take(",")
        right = self._operand()
        self.take(")")
        return make(left, right)

    def _takes(self, token: str) -> bool:
        if self.at_end or self._tokens[self._at] != token:
            return False
        self._at += 1
        return True


def _plain(value: AttributeValue | None) -> Any:
    if value is None:
        return None
    ((kind, content),) = value.items()
    return int(content) if kind == "N" else content


def _compare(compare: Callable[[Any, Any], bool], left: AttributeValue | None, right: AttributeValue | None) -> bool:
    """A comparison with an attribute that is not there, or is of another type, does not hold; but it is not equal."""
    if compare is operator.ne:
        return left != right
    if left is None or right is None or left.keys() != right.keys():
        return False
    return compare(_plain(left), _plain(right))


def _sum(left: Operand, right: Operand, *, times: int) -> Operand:
    def add(item: Item, names: Names) -> AttributeValue:
        one, other = left(item, names), right(item, names)
        if one is None or other is None or one.keys() | other.keys() != {"N"}:
            raise ValidationError("only numbers that are there can be added or taken away")
        return {"N": str(int(one["N"]) + times * int(other["N"]))}

    return add


def _first(left: Operand, right: Operand) -> Operand:
    def choose(item: Item, names: Names) -> AttributeValue | None:
        value = left(item, names)
        return right(item, names) if value is None else value

    return choose


def _joined(left: Operand, right: Operand) -> Operand:
    def join(item: Item, names: Names) -> AttributeValue:
        one, other = left(item, names), right(item, names)
        if one is None or other is None or one.keys() | other.keys() != {"L"}:
            raise ValidationError("only lists that are there can be appended to")
        return {"L": one["L"] + other["L"]}

    return join

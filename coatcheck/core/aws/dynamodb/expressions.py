"""DynamoDB update and condition expressions, put together name by name and value by value."""

from __future__ import annotations

from typing import Any

from coatcheck.core.aws.dynamodb.keys import AttributeValue


class Expression:
    """Collects the clauses, names and values of one request.

    Every name is an alias, since more words are reserved in DynamoDB than one can remember:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html
    """

    def __init__(self) -> None:
        self._aliases: dict[str, str] = {}
        self._values: dict[str, AttributeValue] = {}
        self._placeholders: dict[tuple[str, str], str] = {}
        self._sets: list[str] = []
        self._removes: list[str] = []

    def name(self, attribute: str) -> str:
        """The alias of an attribute."""
        alias = self._aliases.get(attribute)
        if alias is None:
            # a name that ends in that of a job type is no identifier
            alias = f"#{attribute}" if attribute.isidentifier() else f"#{len(self._aliases)}"
            self._aliases[attribute] = alias
        return alias

    def value(self, value: AttributeValue) -> str:
        """The placeholder of a value; the same for equal numbers and for equal texts."""
        ((kind, held),) = value.items()
        return self._scalar(kind, held) if kind in {"N", "S"} else self._add(value)

    def number(self, number: int) -> str:
        """The placeholder of a number."""
        return self._scalar("N", str(number))

    def text(self, text: str) -> str:
        """The placeholder of a text."""
        return self._scalar("S", str(text))

    def assign(self, attribute: str, value: AttributeValue | None) -> None:
        """Set an attribute, or remove it when `value` is None."""
        if value is None:
            self._removes.append(self.name(attribute))
        else:
            self.add(f"{self.name(attribute)} = {self.value(value)}")

    def append(self, attribute: str, values: AttributeValue) -> None:
        """Append to an existing list attribute."""
        self.add(f"{self.name(attribute)} = list_append({self.name(attribute)}, {self.value(values)})")

    def add(self, clause: str) -> None:
        """One more SET clause."""
        self._sets.append(clause)

    def update(self) -> dict[str, Any]:
        """The request's parameters for everything collected."""
        # DynamoDB refuses an empty SET
        clauses = (("SET", self._sets), ("REMOVE", self._removes))
        update = " ".join(f"{verb} {', '.join(changes)}" for verb, changes in clauses if changes)
        return {"UpdateExpression": update, **self.placeholders()}

    def placeholders(self) -> dict[str, Any]:
        """Only the names and values, for requests that have nothing but a condition."""
        names = {alias: attribute for attribute, alias in self._aliases.items()}
        placeholders: dict[str, Any] = {"ExpressionAttributeNames": names}
        if self._values:
            placeholders["ExpressionAttributeValues"] = dict(self._values)
        return placeholders

    def _scalar(self, kind: str, held: str) -> str:
        placeholder = self._placeholders.get((kind, held))
        if placeholder is None:
            placeholder = self._placeholders[kind, held] = self._add({kind: held})
        return placeholder

    def _add(self, value: AttributeValue) -> str:
        placeholder = f":{len(self._values)}"
        self._values[placeholder] = value
        return placeholder

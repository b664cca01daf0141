"""The JSON schema of a submit as a model of API Gateway, which knows less of JSON schema than pydantic does.

A model must refuse all that the job type refuses: what it lets pass is a job. So a schema that says what a model cannot
is no model at all. https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from coatcheck.core.api.models import MAX_LABEL_LENGTH, MAX_LABELS

Json = dict[str, Any]

ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "$defs"})
"""Keywords that refuse nothing."""

KEPT = frozenset({"type", "required", "enum", "minimum", "maximum", "minLength", "maxLength"})
"""Keywords that mean the same in draft 4."""


UNSAID = frozenset({"strip_whitespace", "str_strip_whitespace", "str_min_length", "str_max_length"})
"""Settings of pydantic by which a text is refused, and which its JSON schema does not show."""


class NotExpressible(Exception):
    """A model cannot say what the schema says. The message names where and what."""


def submit_model(name: str, model: type[BaseModel]) -> Json:
    """Return the model of the submits of a job type: its name, an input, and labels. Raises NotExpressible."""
    return {
        "type": "object",
        "required": ["type", *([] if _takes_nothing(model) else ["input"])],
        "additionalProperties": False,
        "properties": {
            "type": {"type": "string", "enum": [name]},
            "input": _input_model(model),
            "metadata": {
                "type": "object",
                "maxProperties": MAX_LABELS,
                "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_LENGTH},
            },
        },
    }


def _takes_nothing(model: type[BaseModel]) -> bool:
    """Whether a submit needs no input: what it then has is an empty object."""
    try:
        model.model_validate({})
    except ValidationError:
        return False
    return True


def _input_model(model: type[BaseModel]) -> Json:
    _refuse_validators(model.__pydantic_core_schema__)
    schema = model.model_json_schema()
    return _Place("input", schema.get("$defs", {})).model(schema)


def _refuse_validators(core_schema: Any) -> None:
    """Raise NotExpressible for what pydantic does that no JSON schema says: functions, and changes of text."""
    if isinstance(core_schema, dict):
        if str(core_schema.get("type", "")).startswith("function-"):
            raise NotExpressible("the input has a validator")
        if found := sorted(UNSAID.intersection(name for name, value in core_schema.items() if value)):
            raise NotExpressible(f"the input has {found[0]}")
        for value in core_schema.values():
            _refuse_validators(value)
    elif isinstance(core_schema, list):
        for value in core_schema:
            _refuse_validators(value)


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a schema: its name, the schemas that are referred to, and the names of those that it is within."""

    name: str
    definitions: Mapping[str, Any]
    within: tuple[str, ...] = ()

    def model(self, schema: Json) -> Json:
        """Return the schema of this place as a model."""
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]).rpartition("/")[2])
        if "anyOf" in schema:
            return self._not_null(schema["anyOf"])
        if "$upload" in schema.get("properties", {}):
            raise NotExpressible(f"{self.name} is an upload, which the service looks for")
        said = [self._keyword(name, value) for name, value in schema.items() if name not in ANNOTATIONS]
        model = {name: value for one in said for name, value in one.items()}
        if "type" not in model and "enum" not in model:
            raise NotExpressible(f"{self.name} may be anything")
        # other members go the ordinary way: there may be an upload among them
        return model | ({"additionalProperties": False} if model.get("type") == "object" else {})

    def _keyword(self, keyword: str, value: Any) -> Json:
        match keyword, value:
            case "properties", dict():
                inner = {name: replace(self, name=f"{self.name}.{name}").model(one) for name, one in value.items()}
                return {keyword: inner}
            case "items", dict():
                return {keyword: replace(self, name=f"{self.name}[]").model(value)}
            case "const", _:
                return {"enum": [value]}
            case "additionalProperties", bool():
                return {keyword: value}
            case _ if keyword in KEPT:
                return {keyword: value}
            case _:
                raise NotExpressible(f"{self.name} has {keyword}")

    def _referred(self, name: str) -> Json:
        # a model of an OpenAPI document refers to other models alone, so what is referred to is put in
        if name in self.within:
            raise NotExpressible(f"{self.name} is recursive")
        return replace(self, within=(*self.within, name)).model(self.definitions[name])

    def _not_null(self, alternatives: Sequence[Json]) -> Json:
        """Return the one alternative that is not null: a null goes the ordinary way."""
        others = [one for one in alternatives if one != {"type": "null"}]
        if len(others) != 1:
            raise NotExpressible(f"{self.name} has anyOf")
        return self.model(others[0])

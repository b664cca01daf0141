"""Decides whether two submits under one idempotency key are the same request.

Two digests decide. The first is the digest of the request as written; only the order of names and the whitespace
between them do not count. It depends on nothing else, so that a retry stays the same request even if the job type has
changed since. The second is the digest of the normalized request: without nulls and defaults that were written out, and
with values as their model has them (`1` and `1.0`, two ways to write one time). Requests are the same when either
digest is equal.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

from pydantic import AliasChoices, BaseModel, RootModel
from pydantic.fields import FieldInfo

from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.pack import canonical_json

NORMALIZED_DIGEST_BYTES = 16
"""Bytes of the second digest that are kept: enough, as it is compared only within its own tenant."""

_SCALARS = (str, int, float, bool)


def as_written(request: SubmitRequest) -> dict[str, Any]:
    """Return the fields that a client has written, as it has written them."""
    # take the input itself: pydantic would copy it, value by value
    written = request.model_dump(exclude_unset=True, exclude={"input"})
    return written | ({"input": request.input} if "input" in request.model_fields_set else {})


def normalized(request: SubmitRequest, given: BaseModel) -> dict[str, Any]:
    """Return the normalized request. `given` is its input, parsed by the job type's model."""
    written = normalize(request.model_dump(exclude_unset=True, exclude={"input"}), request)
    return {**written, "input": normalize(request.input, given)}


def digest(request: Any) -> bytes:
    """Return the SHA-256 of a request's canonical JSON."""
    return hashlib.sha256(canonical_json(request)).digest()


def normalize(written: Any, model: Any) -> Any:
    """Return a client's JSON in one normal form, the same for everything that parses to an equal `model`.

    Only what the client has written appears in it. So values that a model makes up (a default that depends on the day,
    a new id) change nothing. What is not understood stays as it was written.
    """
    if isinstance(model, RootModel):
        return normalize(written, model.root)
    if isinstance(written, dict) and isinstance(model, BaseModel):
        return dict(_fields(written, model))
    if isinstance(written, dict) and isinstance(model, dict):
        return {name: normalize(value, model[name]) if name in model else value for name, value in written.items()}
    if isinstance(written, list) and isinstance(model, (list, tuple)) and len(written) == len(model):
        return [normalize(value, inner) for value, inner in zip(written, model, strict=True)]
    if type(model) not in _SCALARS or (isinstance(model, float) and not math.isfinite(model)):
        return written
    return model


def _fields(written: dict[str, Any], model: BaseModel) -> Iterator[tuple[str, Any]]:
    fields = type(model).model_fields
    named = {alias: name for name, field in fields.items() for alias in (name, *_aliases(field))}
    for key, value in written.items():
        name = named.get(key)
        if name is None:
            yield key, value
        elif not _is_default(fields[name], getattr(model, name)):
            yield name, normalize(value, getattr(model, name))


def _aliases(field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
        if isinstance(choice, str):
            yield choice


def _is_default(field: FieldInfo, value: Any) -> bool:
    if field.is_required() or not isinstance(value, (*_SCALARS, type(None), list, dict, BaseModel)):
        return False
    if field.default_factory_takes_validated_data:
        return False
    default = field.get_default(call_default_factory=True)
    # a default is not validated: a float field may have an int as its default
    same_type = type(value) is type(default) or {type(value), type(default)} == {int, float}
    return same_type and bool(value == default)

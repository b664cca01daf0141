"""The client accepts each word that the service may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import create_model
from pydantic.fields import FieldInfo

from coatcheck.client.response_schemas import SCHEMAS, Schema
from coatcheck.core.api import admin_models, models, webhook_models
from coatcheck.core.api.base_models import ResponseModel

SAID: Mapping[str, type[ResponseModel]] = {
    "job": models.JobView,
    "event": models.EventView,
    "progress": models.ProgressView,
    "endpoint": webhook_models.EndpointWithSecret,
    "delivery": webhook_models.DeliveryView,
    "tenant": admin_models.TenantView,
    "admin job": admin_models.StuckJobView,
    "lane": admin_models.LaneView,
    "dead letter": admin_models.DeadLetterView,
    "job type": models.JobTypeView,
    "parts": models.PartsPage,
    "upload ticket": models.UploadTicket,
    "multipart ticket": models.MultipartTicket,
    "upload": models.UploadView,
}


def words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[object]:
    """The values that a JSON schema lists."""
    if "$ref" in schema:
        yield from words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    yield from schema.get("enum", [])
    yield from [schema["const"]] if "const" in schema else []
    for one in schema.get("anyOf", []):
        yield from [None] if one.get("type") == "null" else words(one, definitions)


def cases() -> list[Any]:
    found = []
    for name, model in SAID.items():
        schema = model.model_json_schema(mode="serialization")
        for field, said in schema["properties"].items():
            checked = SCHEMAS[name].model_fields.get(field)
            values = list(words(said, schema.get("$defs", {})))
            if checked is not None and values:
                found.append(pytest.param(checked, values, id=f"{name} {field}"))
    return found


def test_each_document_that_the_client_checks_is_one_that_the_service_makes() -> None:
    assert SAID.keys() == SCHEMAS.keys()
    for name, model in SAID.items():
        required = {field for field, info in SCHEMAS[name].model_fields.items() if info.is_required()}
        assert required <= model.model_fields.keys(), name


@pytest.mark.parametrize(("checked", "values"), cases())
def test_each_word_is_accepted(checked: FieldInfo, values: list[object]) -> None:
    one = create_model("One", __base__=Schema, value=(checked.annotation, checked))
    for value in values:
        one.model_validate({"value": value})

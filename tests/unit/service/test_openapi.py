"""The OpenAPI document says what the service does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.core.api_keys import Scope
from coatcheck.core.settings import Settings
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from coatcheck_service.http.problems import MEDIA_TYPE
from coatcheck_service.http.scopes import OPERATOR_SCOPES_OF, SCOPES
from tests.example_jobs import CATALOG

OPEN = {"/v1/health", "/problems/{code}"}

RESULT = {"200", "202", "206", "303", "304", "401", "403", "404", "409", "410", "416", "422", "503"}

CALLS = {
    ("post", "/v1/jobs"): {"200", "202", "400", "401", "403", "413", "415", "422", "429", "503"},
    ("get", "/v1/jobs"): {"200", "401", "403", "422", "503"},
    ("get", "/v1/jobs/{job_id}"): {"200", "304", "401", "403", "404", "410", "422", "503"},
    ("delete", "/v1/jobs/{job_id}"): {"204", "401", "403", "404", "409", "422", "503"},
    ("get", "/v1/jobs/{job_id}/result"): RESULT,
    ("get", "/v1/jobs/{job_id}/result/{name}"): RESULT,
    ("post", "/v1/jobs/{job_id}/cancel"): {"200", "202", "401", "403", "404", "409", "410", "422", "503"},
    ("post", "/v1/jobs/{job_id}/replay"): {"200", "202", "401", "403", "404", "409", "410", "422", "429", "503"},
    ("get", "/v1/jobs/{job_id}/events"): {"200", "204", "401", "403", "404", "410", "422", "429", "503"},
    ("get", "/v1/events"): {"200", "401", "403", "422", "429", "503"},
    ("get", "/v1/jobs/{job_id}/deliveries"): {"200", "401", "403", "404", "410", "422", "503"},
    ("post", "/v1/jobs/{job_id}/deliveries/{delivery_id}/resend"): {
        *("202", "401", "403", "404", "409", "410", "422", "429", "503"),
    },
    ("post", "/v1/webhook-endpoints"): {"201", "400", "401", "403", "409", "413", "415", "422", "503"},
    ("get", "/v1/webhook-endpoints"): {"200", "401", "403", "503"},
    ("get", "/v1/webhook-endpoints/{endpoint_id}"): {"200", "401", "403", "404", "422", "503"},
    ("patch", "/v1/webhook-endpoints/{endpoint_id}"): {
        *("200", "400", "401", "403", "404", "409", "413", "415", "422", "503"),
    },
    ("delete", "/v1/webhook-endpoints/{endpoint_id}"): {"204", "401", "403", "404", "409", "422", "503"},
    ("post", "/v1/webhook-endpoints/{endpoint_id}/rotate-secret"): {"200", "401", "403", "404", "409", "422", "503"},
    ("post", "/v1/webhook-endpoints/{endpoint_id}/test"): {"202", "401", "403", "404", "409", "422", "429", "503"},
    ("get", "/v1/webhook-endpoints/{endpoint_id}/deliveries"): {"200", "401", "403", "404", "409", "422", "503"},
    ("post", "/v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/resend"): {
        *("202", "401", "403", "404", "409", "422", "429", "503"),
    },
    ("post", "/v1/uploads"): {"201", "400", "401", "403", "413", "415", "422", "429", "503"},
    ("get", "/v1/uploads/{upload_id}"): {"200", "401", "403", "404", "422", "503"},
    ("get", "/v1/uploads/{upload_id}/parts"): {"200", "401", "403", "404", "409", "422", "503"},
    ("post", "/v1/uploads/{upload_id}/complete"): {
        *("200", "400", "401", "403", "404", "409", "413", "415", "422", "503"),
    },
    ("get", "/v1/job-types"): {"200", "401", "403", "422", "503"},
    ("get", "/v1/job-types/{name}"): {"200", "401", "403", "404", "422", "503"},
    ("get", "/v1/admin/tenants"): {"200", "401", "403", "422", "503"},
    ("get", "/v1/admin/jobs"): {"200", "401", "403", "422", "503"},
    ("get", "/v1/admin/stuck-jobs"): {"200", "401", "403", "422", "503"},
    ("get", "/v1/admin/tenants/{tenant}/jobs/{job_id}"): {"200", "401", "403", "404", "410", "422", "503"},
    ("post", "/v1/admin/tenants/{tenant}/jobs/{job_id}/cancel"): {
        *("200", "202", "401", "403", "404", "409", "410", "422", "503"),
    },
    ("get", "/v1/admin/tenants/{tenant}/limits"): {"200", "401", "403", "422", "503"},
    ("put", "/v1/admin/tenants/{tenant}/limits"): {"200", "400", "401", "403", "413", "415", "422", "503"},
    ("patch", "/v1/admin/tenants/{tenant}/limits"): {"200", "400", "401", "403", "413", "415", "422", "503"},
    ("get", "/v1/admin/queues"): {"200", "401", "403", "503"},
    ("get", "/v1/admin/queues/{lane}/dead-letters"): {"200", "401", "403", "404", "422", "503"},
    ("get", "/v1/admin/queues/{lane}/dead-letters/{message_id}"): {"200", "401", "403", "404", "422", "503"},
    ("delete", "/v1/admin/queues/{lane}/dead-letters/{message_id}"): {"204", "401", "403", "404", "422", "503"},
    ("post", "/v1/admin/queues/{lane}/dead-letters/{message_id}/redrive"): {"200", "401", "403", "404", "422", "503"},
    ("get", "/v1/health"): {"200"},
    ("get", "/problems/{code}"): {"200", "404", "422"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    queues = json.dumps({"default": "-", "webhooks": "-"})
    stores = {"table": "-", "bucket": "-", "queues": queues, "dead_letters": queues, "webhook_key": "-"}
    settings = Settings.model_validate(stores)
    made: dict[str, Any] = create_app(settings, CATALOG, AioBotoTransport(), UVICORN).openapi()
    return made


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every verb, path and operation."""
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield verb, path, operation


def test_it_lists_every_call_and_what_it_answers(document: dict[str, Any]) -> None:
    assert {(verb, path): set(operation["responses"]) for verb, path, operation in operations(document)} == CALLS


def test_errors_are_problems(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status >= "4":
                assert answer["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                assert answer["description"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        if reference.startswith("#/"):
            found: Any = document
            for step in reference[2:].split("/"):
                found = found[step]


def test_what_needs_a_key_says_so(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        assert ("security" in operation) is (path not in OPEN)
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"


def test_every_operation_that_needs_a_key_has_its_scope_in_the_table_and_says_so(document: dict[str, Any]) -> None:
    needed = {operation["operationId"]: operation for _, path, operation in operations(document) if path not in OPEN}
    assert needed.keys() == SCOPES.keys() | OPERATOR_SCOPES_OF.keys()
    for name, operation in needed.items():
        scope = SCOPES.get(name) or OPERATOR_SCOPES_OF.get(name)
        scheme = "OperatorKey" if name in OPERATOR_SCOPES_OF else "ApiKey"
        assert operation["security"] == [{scheme: [scope] if scope else []}]
        assert (f"scope `{scope}`" in operation["description"]) is (scope is not None)
    # the owner's scope opens no route of a tenant
    assert set(SCOPES.values()) == {None, *Scope} - {Scope.ADMIN}


def test_what_operators_call_takes_their_keys_alone_and_what_tenants_call_does_not(document: dict[str, Any]) -> None:
    assert OPERATOR_SCOPES_OF.keys().isdisjoint(SCOPES)
    assert set(OPERATOR_SCOPES_OF.values()).isdisjoint(Scope)
    for _, path, operation in operations(document):
        assert path.startswith("/v1/admin/") is (operation["operationId"] in OPERATOR_SCOPES_OF)


def test_bodies_and_headers_are_described(document: dict[str, Any]) -> None:
    submit = document["paths"]["/v1/jobs"]["post"]
    schema = submit["requestBody"]["content"]["application/json"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["type"]
    assert {parameter["name"] for parameter in submit["parameters"]} == {"Idempotency-Key", "Prefer"}
    accepted, finished = (set(submit["responses"][status]["headers"]) for status in ("202", "200"))
    assert accepted - finished == {"Location", "Retry-After"}
    assert {"Content-Location", "ETag", "Idempotent-Replayed"} <= finished


def test_a_result_may_be_anything(document: dict[str, Any]) -> None:
    for path in ("/v1/jobs/{job_id}/result", "/v1/jobs/{job_id}/result/{name}"):
        answers = document["paths"][path]["get"]["responses"]
        content = answers["200"]["content"]
        # a generated client that takes a JSON result for a link crashes on it: it goes by the first that it knows
        assert list(content) == ["application/octet-stream", "application/json", "*/*"]
        assert content["application/json"]["schema"]["anyOf"] == [{"$ref": "#/components/schemas/LinkView"}, {}]
        assert list(answers["206"]["content"]) == ["application/octet-stream", "*/*"]
    assert set(document["components"]["schemas"]["LinkView"]["required"]) >= {"url", "sha256"}

"""Shared pieces of the OpenAPI document: headers and errors that many routes have."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal

from pydantic import BaseModel

from coatcheck.core.api.base_models import ResponseModel
from coatcheck.core.errors import Forbidden, MissingScope, ServiceError, Unauthenticated, Unavailable
from coatcheck_service.http.problems import MEDIA_TYPE, STATUS
from coatcheck_service.http.scopes import OPERATOR_SCOPES_OF, SCOPES


class Health(ResponseModel):
    """The service answers."""

    status: Literal["ok"]


class ProblemKind(ResponseModel):
    """A kind of error."""

    code: str
    title: str
    advice: str
    retryable: bool


REQUEST_HEADERS = {
    "Prefer": "`wait=N`: hold the answer until the job is done, or N seconds have passed (0 to 25; a deployment may"
    " wait less, or not at all when too many wait)",
    "Idempotency-Key": "1 to 255 visible ASCII characters; the same key and the same body are the same job",
    "If-None-Match": "an ETag that is known already: 304 if it still holds",
    "Range": "`bytes=N-`, `bytes=N-M` or `bytes=-N`: only these bytes; several ranges at once are answered with all",
    "Last-Event-ID": "the `id` of the last event that is known already: the stream goes on after it",
    "If-Range": "the ETag of the bytes that are there already: if it is another by now, all of them come",
}
RESPONSE_HEADERS = {
    "Location": "where the job, the result or the endpoint is",
    "Content-Location": "where the job is that this answer shows",
    "Retry-After": "seconds until it is worth asking again; while the job is not done",
    "ETag": "changes with what it is of",
    "Idempotent-Replayed": "`true` when an earlier request under this key made the job",
    "Preference-Applied": "`wait=N` as it was honoured",
    "Content-Digest": "sha-256 of the bytes in this answer (RFC 9530)",
    "Content-Range": "which bytes these are, and of how many",
    "Accept-Ranges": "`bytes`: `Range` may ask for some of them",
    "Repr-Digest": "sha-256 of all the bytes, also where this answer has some of them (RFC 9530)",
    "Event-Stream": "`unavailable` where a stream was asked for, and the front door sends answers in one piece",
    "Content-Disposition": "what to call the file",
    "RateLimit": "submits that are left, and in how many seconds all are; where the tenant has a rate",
    "RateLimit-Policy": "how many submits there may be at once, and in how many seconds; where the tenant has a rate",
}


def response_doc(
    status: int, description: str, *headers: str, model: type[BaseModel] | UnionType | None = None
) -> dict[int | str, Any]:
    """Build the `responses` entry of one status."""
    entry: dict[str, Any] = {"description": description}
    if headers:
        entry["headers"] = {
            name: {"description": RESPONSE_HEADERS[name], "schema": {"type": "string"}} for name in headers
        }
    if model is not None:
        entry["model"] = model
    return {status: entry}


def public_problem_docs(*errors: type[ServiceError]) -> dict[int | str, Any]:
    """Build the `responses` entries of errors; errors that share a status share an entry."""
    entries: dict[int | str, Any] = {}
    for error in errors:
        # without its model, which is that of all: FastAPI would make a validator for each
        entry = entries.setdefault(STATUS[error], {"description": ""})
        entry["description"] = "; ".join(filter(None, [entry["description"], f"{error.title} (`{error.code}`)"]))
    return entries


def problem_docs(*errors: type[ServiceError]) -> dict[int | str, Any]:
    """Do as `public_problem_docs`, with the errors of any call that needs credentials and a data store."""
    return public_problem_docs(*errors, Unauthenticated, MissingScope, Forbidden, Unavailable)


def request_doc(*headers: str, body: type[BaseModel] | None = None, required: bool = True) -> dict[str, Any]:
    """Build the `openapi_extra` of a route that reads these headers, and its body, itself."""
    extra: dict[str, Any] = {
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": REQUEST_HEADERS[name],
                "schema": {"type": "string"},
            }
            for name in headers
        ]
    }
    if body is not None:
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        content = {"application/json": {"schema": schema}}
        extra["requestBody"] = {"required": required, "content": content}
    return extra


def document_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Give errors in the OpenAPI document their real media type, and remove the framework's own error models.

    Move the models within bodies to where references point. Name the scope that each operation needs.
    """
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            _document_scope(operation)
            for status, entry in operation["responses"].items():
                if status >= "4":
                    entry["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            for body in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in body.get("content", {}).values():
                    schemas |= content["schema"].pop("$defs", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def _document_scope(operation: dict[str, Any]) -> None:
    """Say in `security` and in words which scope an operation needs (OpenAPI 3.1 has roles for every scheme)."""
    name = operation["operationId"]
    if scope := SCOPES.get(name) or OPERATOR_SCOPES_OF.get(name):
        operation["security"] = [{scheme: [str(scope)] for scheme in one} for one in operation["security"]]
        operation["description"] = f"{operation['description']}\n\nNeeds the scope `{scope}`."

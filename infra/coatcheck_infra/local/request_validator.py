"""Refuses requests without credentials, as the template asks of API Gateway. The emulator has no request validators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MethodOf = tuple[str, str, str]
"""A method in upper case, its path in the template, and the kind of response to a request without credentials."""


def methods_with_credentials(template: Mapping[str, Any]) -> list[MethodOf]:
    """Return the methods of the template's one API that ask for an Authorization header."""
    (api,) = (one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Api")
    return [
        # an authorizer comes before the validator
        (verb.upper(), path, "UNAUTHORIZED" if "security" in operation else "BAD_REQUEST_PARAMETERS")
        for path, operations in api["Properties"]["DefinitionBody"]["paths"].items()
        for verb, operation in operations.items()
        if any(one["name"] == "Authorization" for one in operation.get("parameters", ()))
    ]


class RequestValidator:
    """Finds the method that a request is for. A path without parameters comes before one with them."""

    def __init__(self, methods: Iterable[MethodOf]) -> None:
        ordered = sorted(methods, key=lambda one: "{" in one[1])
        self._methods = [(method, _pattern(path), kind) for method, path, kind in ordered]

    def refusal(self, method: str, path: str, authorization: str | None) -> str | None:
        """Return the kind of API Gateway's response, a key of DEFAULT_RESPONSES; None if it forwards the request."""
        if authorization is not None and authorization.strip():
            return None
        matching = (kind for known, pattern, kind in self._methods if known == method and pattern.fullmatch(path))
        return next(matching, None)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(path)))

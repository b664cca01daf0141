"""Requests to Lambda."""

from __future__ import annotations

from coatcheck.core.aws.call import Call


def invoke_async(function: str, payload: str) -> Call[None]:
    """Invoke a function, by its name or ARN, with a JSON text, without waiting for its answer."""
    params = {"FunctionName": function, "InvocationType": "Event", "Payload": payload}
    return Call("lambda", "Invoke", params, read=lambda _: None)

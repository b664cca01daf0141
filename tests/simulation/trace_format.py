"""Calls and answers in a few words."""

from __future__ import annotations

from typing import Any

from coatcheck.core.aws.call import Call
from tests.simulation.faults import HEARTBEAT


def kind(call: Call[Any]) -> str:
    """What a storm may be aimed at."""
    names = call.params.get("ExpressionAttributeNames", {}).values()
    is_beat = call.operation == "UpdateItem" and "lease_until" in names and "claimed_at" not in names
    return HEARTBEAT if is_beat and not _assigned(call.params) else call.operation


def subject(call: Call[Any]) -> str:
    """What a call is about, for the trace."""
    params = call.params
    match call.service:
        case "dynamodb":
            if call.operation == "TransactWriteItems":
                params = params["TransactItems"][0]["Update"]
            key = params.get("Key") or params.get("Item")
            named = f"{key['pk']['S']}/{key['sk']['S']}" if key else ""
            return f"{named} {_assigned(params)}".strip()
        case "sqs":
            return str(params.get("MessageBody") or params.get("ReceiptHandle") or len(params.get("Entries", "")))
        case "s3":
            return str(params.get("Key") or params.get("Prefix") or len(params["Delete"]["Objects"]))
        case "secretsmanager":
            return str(params["SecretId"])
        case "lambda":
            return str(params["Payload"])
        case "sts":
            return str(params["RoleArn"])


def _assigned(params: Any) -> str:
    values = params.get("ExpressionAttributeValues", {})
    status = next((clause for clause in params.get("UpdateExpression", "").split(",") if "#status =" in clause), "")
    return str(values[status.split()[-1]]["S"]) if status else ""


def describe(answer: Any) -> str:
    """An answer, for the trace."""
    job = getattr(answer, "job", answer)
    if hasattr(job, "attempt"):
        how = "" if job is answer else "refused: "
        return f"{how}{job.status} attempt {job.attempt}/{job.max_attempts} v{job.version}"
    return "a stream" if hasattr(answer, "read") else repr(answer)[:100]

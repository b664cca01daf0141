"""The trust policy in the table: one item, in a partition that no tenant's name leads to."""

from __future__ import annotations

from coatcheck.core.audit import AuditRecord
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.compatibility import NewerRow, require_known
from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.trust_policy import BadTrustPolicy, TrustPolicy

_KEY: Item = {"pk": {"S": "#trust"}, "sk": {"S": "policy"}}


def get_trust_policy(table: str) -> Call[TrustPolicy]:
    """The policy; an empty one if there is none. Reading the answer raises NewerRow."""
    params = {"TableName": table, "Key": _KEY, "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, _read)


def put_trust_policy(table: str, policy: TrustPolicy) -> Call[None]:
    """Replace the policy."""
    item = _KEY | {"policy": {"S": policy.model_dump_json(exclude_defaults=True)}}
    call: Call[None] = Call("dynamodb", "PutItem", {"TableName": table, "Item": item}, lambda _: None)
    return audited(call, lambda _: AuditRecord(action="trust.set"))


def _read(answer: AwsResponse) -> TrustPolicy:
    if "Item" not in answer:
        return TrustPolicy()
    try:
        return TrustPolicy.parse(require_known(answer["Item"])["policy"]["S"])
    except BadTrustPolicy:
        # it was valid for whoever wrote it
        raise NewerRow("the trust policy was written by a newer version of the service") from None

"""What the scanners find and we leave as it is, each with the reason. One that no scanner finds any more has to go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Excuse:
    """Why findings of a check are left as they are, and where: patterns of resources or files."""

    why: str
    where: tuple[str, ...] = ("*",)

    def covers(self, place: str) -> bool:
        """Whether a finding at this place is meant."""
        return any(fnmatch(place, pattern) for pattern in self.where)


_AWS_KEYS = Excuse(
    "The data is encrypted by AWS's own keys. A key of one's own costs money and requests: it is the owner's choice."
)
_LAMBDA = "AWS::Lambda::Function."

CHECKOV: Mapping[str, Excuse] = {
    "CKV_AWS_18": Excuse("Clients reach it by presigned links alone. CloudTrail's data events say more than its log."),
    "CKV_AWS_21": Excuse("What a tenant deletes is to be gone. Versions would keep it."),
    "CKV_AWS_73": Excuse("Tracing costs money for each request. An owner can switch it on."),
    "CKV_AWS_76": Excuse("Access logs are off until asked for (ADR 24)."),
    "CKV_AWS_86": Excuse("The service logs each request. A log of CloudFront's needs a bucket of the owner's."),
    "CKV_AWS_91": Excuse("Access logs are off until asked for, and need a bucket of the owner's (ADR 24)."),
    "CKV_AWS_115": Excuse(
        "The mapping's MaximumConcurrency is the limit. A reserved one would push messages to the dead letters."
        " Operators are few. API Gateway's throttle limits the authorizer. A stream has one dispatcher for a shard.",
        tuple(
            f"{_LAMBDA}{name}"
            for name in (
                *("DefaultWorker", "DefaultManagedWorker", "HeavyWorker", "Deliverer", "AdminFunction"),
                *("AuthorizerFunction", "DispatcherFunction"),
            )
        ),
    ),
    "CKV_AWS_116": Excuse(
        "SQS keeps the messages of workers, and has dead letters. The API is waited for. The next sweep does what one"
        " that failed has left undone."
    ),
    "CKV_AWS_117": Excuse("It reaches AWS and the receivers of webhooks. An owner can give workers a VPC."),
    "CKV_AWS_119": _AWS_KEYS,
    "CKV_AWS_120": Excuse("An answer is one tenant's. A cache before the API could show it to another."),
    "CKV_AWS_149": _AWS_KEYS,
    "CKV_AWS_158": _AWS_KEYS,
    "CKV_AWS_173": Excuse("No secret is in a variable: names of resources, and numbers."),
    "CKV_AWS_258": Excuse(
        "Whoever has a key or a token may call from anywhere: the service finds out who it is, as behind the REST API."
        " FunctionUrlAuth=AWS_IAM closes both."
    ),
    "CKV_AWS_27": Excuse("The check wants a key of one's own. Every queue has SqsManagedSseEnabled."),
}
"""By the id of the check: https://www.checkov.io/5.Policy%20Index/cloudformation.html"""

BANDIT: Mapping[str, Excuse] = {
    "B101": Excuse("Asserts tell mypy what a table guarantees. Nothing depends on them."),
    "B104": Excuse("A container has a network of its own.", ("infra/coatcheck_infra/container_programs.py:*",)),
    "B105": Excuse(
        "The prefix of webhooks' secrets, and the emulator's made-up credentials.",
        ("coatcheck/core/signature.py:*", "infra/coatcheck_infra/local/environment.py:*"),
    ),
    "B107": Excuse("The default of the local gateway's key is none.", ("infra/coatcheck_infra/local/*",)),
    "B108": Excuse("The /tmp of an image belongs to one process.", ("infra/coatcheck_infra/container_programs.py:*",)),
    "B310": Excuse(
        "ECS itself sets the URL of its agent.", ("worker/coatcheck_worker/supervisor/task_protection.py:*",)
    ),
    "B311": Excuse("The jitter of retries is no secret."),
    "B404": Excuse("The launcher, the build and the supervisor start processes. B602 and B605 look at how."),
    "B406": Excuse("`escape` writes XML and reads none.", ("infra/coatcheck_infra/local/ministack/*",)),
    "B603": Excuse("No process is started by a shell, and none gets its program's name from a client."),
    "B606": Excuse("As B603.", ("worker/coatcheck_worker/runner/forkserver.py:*",)),
}
"""By the id of the test: https://bandit.readthedocs.io/en/latest/plugins/"""

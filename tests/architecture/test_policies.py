"""Each function's role allows what its code sends, and nothing else."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.build import ROOT
from infra.translate import translated

KERNEL = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "coatcheck").rglob("*.py")
    if ROOT / "coatcheck" / "client" not in path.parents
}
SERVICE = set((ROOT / "service").rglob("*.py"))
WORKING = ROOT / "worker"
DELIVERING = WORKING / "webhooks"
# what wakes the deliverer, and what the sweeper does for it
WAKE, OVERDUE = DELIVERING / "wake.py", DELIVERING / "overdue.py"
SWEEP = {WORKING / f"{module}.py" for module in ("sweep", "dead_letters", "leftovers")} | {WAKE, OVERDUE}
# what polls, and the loop of the sweeper, run in containers, not as functions
POLLS = {WORKING / "poller.py", WORKING / "sweeper.py", DELIVERING / "__main__.py"}
DELIVERER = set(DELIVERING.rglob("*.py")) - POLLS - {OVERDUE} | {WORKING / "inbox.py"}
WORKER = set(WORKING.rglob("*.py")) - SWEEP - POLLS - DELIVERER | {WAKE, WORKING / "inbox.py"}

ROLES = ("ApiRole", "WorkerRole", "DelivererRole", "SweeperRole")

# where an operation's permission has another name
PERMISSIONS = {
    "HeadObject": {"GetObject"},
    "CopyObject": {"GetObject", "PutObject"},
    "ListObjectsV2": {"ListBucket"},
    "DeleteObjects": {"DeleteObject"},
    "CreateMultipartUpload": {"PutObject"},
    "UploadPart": {"PutObject"},
    "CompleteMultipartUpload": {"PutObject"},
    "ListMultipartUploads": {"ListBucketMultipartUploads"},
    "ListParts": {"ListMultipartUploadParts"},
    "get_object": {"GetObject"},
    "put_object": {"PutObject"},
    "upload_part": {"PutObject"},
}
# what Lambda itself does with the function's role
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
POLLING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


translation = functools.cache(translated)


@functools.cache
def requests(module: str) -> dict[str, set[str]]:
    """The permissions that each function of a kernel's module needs."""
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    def needed(name: str) -> set[str]:
        called = {node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)}
        helpers = (helper for helper in called & set(functions) if helper != name)
        return set(operations(functions[name])).union(*(needed(helper) for helper in helpers))

    return {name: needed(name) for name in functions}


def operations(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name("Call"), args=[ast.Constant(str(service)), ast.Constant(str(operation)), *_]):
                yield from (f"{service}:{name}" for name in PERMISSIONS.get(operation, {operation}))
            case ast.Call(func=ast.Name("Presign"), args=[ast.Constant(str(operation)), *_]):
                yield from (f"s3:{name}" for name in PERMISSIONS[operation])


def sent(files: set[Path]) -> set[str]:
    """The permissions that those files need, by the kernel's functions that they use."""
    needed: set[str] = set()
    for file in files:
        tree = ast.parse(file.read_text())
        imported = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(module), attr=name) if imported.get(module) in KERNEL:
                    needed |= requests(imported[module]).get(name, set())
                case ast.Name(name) if imported.get(name, "").rpartition(".")[0] in KERNEL:
                    module, _, function = imported[name].rpartition(".")
                    needed |= requests(module).get(function, set())
    return needed


def statements(role: str) -> list[dict[str, Any]]:
    properties = translation()["Resources"][role]["Properties"]
    assert "ManagedPolicyArns" not in properties, "AWS's own policies allow far more than a function needs"
    return [statement for policy in properties["Policies"] for statement in policy["PolicyDocument"]["Statement"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("role", "files", "beyond"),
    [
        ("ApiRole", SERVICE, LOGS),
        ("WorkerRole", WORKER, LOGS | POLLING),
        ("DelivererRole", DELIVERER, LOGS | POLLING),
        ("SweeperRole", SWEEP, LOGS),
    ],
)
def test_a_role_allows_what_its_code_sends_and_nothing_else(role: str, files: set[Path], beyond: set[str]) -> None:
    allowed = {action for statement in statements(role) for action in listed(statement["Action"])}
    assert allowed == sent(files) | beyond


def test_only_the_functions_that_sign_read_the_key_and_the_deliverer_reaches_no_bucket() -> None:
    def reached(role: str) -> set[str]:
        return {str(resource) for statement in statements(role) for resource in listed(statement["Resource"])}

    assert [role for role in ROLES if "WebhookKey" in "".join(reached(role))] == ["ApiRole", "DelivererRole"]
    assert not [resource for resource in reached("DelivererRole") if "Bucket" in resource]


def test_every_function_has_one_of_these_roles() -> None:
    functions = [one for one in translation()["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    roles = {function["Properties"]["Role"]["Fn::GetAtt"][0] for function in functions}
    assert roles == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_only_resources_of_this_stack(role: str) -> None:
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in listed(statement["Action"]))
        for resource in listed(statement["Resource"]):
            owner, rest = resource.get("Fn::GetAtt") or resource["Fn::Sub"].removeprefix("${").split(".Arn}")
            assert owner in translation()["Resources"], resource
            # Id is the ARN of a secret; inside a bucket, a prefix; of a table, an index by name
            assert (
                rest in {"Arn", "Id"} or (rest.endswith("*") and rest.count("/") >= 2) or rest.startswith("/index/")
            ), resource

"""Runs MiniStack with its patches: `python -m coatcheck_infra.local.ministack`, under MiniStack's own interpreter.

The patches use private names of the pinned MiniStack. If a name is missing, the start fails with a line that says so.
The template is never changed to suit the emulator.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coatcheck_infra.local.code_cache import CODE_CACHE_VARIABLE
from coatcheck_infra.local.emulator_access import ACCESS_VARIABLE, WHOLE
from coatcheck_infra.local.ministack import (
    access_patches,
    cloudwatch_patches,
    dynamodb_patches,
    http_patches,
    iam_patches,
    lambda_patches,
    sqs_patches,
    state_patches,
)
from coatcheck_infra.local.ministack.access_patches import AccessRules
from coatcheck_infra.local.ministack.environment_limiter import EnvironmentLimiter
from coatcheck_infra.local.ministack.state_patches import StateRecorder
from coatcheck_infra.local.state_store import STATE_VARIABLE, StateStore

Patch = Callable[[Any], Any]


def main() -> None:
    for module, name, make_replacement in patches(Path(os.environ.get(CODE_CACHE_VARIABLE, "nowhere"))):
        apply_patch(module, name, make_replacement)
    key = (os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    link_keys: dict[str, str] = {}
    if directory := os.environ.get(STATE_VARIABLE):
        store = StateStore(Path(directory))
        link_keys = store.begin_start(time.time())
        store.add_signer(*key)
        for module, name, make_replacement in keep_state(StateRecorder(store)):
            apply_patch(module, name, make_replacement)
    if allowed := os.environ.get(ACCESS_VARIABLE):
        rules = AccessRules.of(*key, whole=allowed == WHOLE, link_keys=link_keys)
        for module, name, make_replacement in limit_access(rules):
            apply_patch(module, name, make_replacement)
    importlib.import_module("ministack.app").main()


def patches(code_cache: Path) -> list[tuple[str, str, Patch]]:
    """List the patches: a module, a name in it, and the function that makes the new object from the old.

    `code_cache` is the directory with code that may be unpacked already.
    """
    limiters: dict[str, EnvironmentLimiter] = defaultdict(EnvironmentLimiter)
    return [
        (
            "ministack.services.lambda_svc",
            "_execute_function_dispatch",
            functools.partial(lambda_patches.limit_environments, limiters),
        ),
        ("ministack.services.lambda_svc", "_sqs_esm_concurrency", lambda_patches.numeric_concurrency),
        ("ministack.core.lambda_runtime", "Worker._spawn", functools.partial(lambda_patches.report_start, limiters)),
        ("ministack.core.lambda_runtime", "Worker._read_stderr", lambda_patches.stream_stderr),
        ("ministack.core.lambda_runtime", "Worker._drain_stderr_bounded", lambda_patches.skip_stderr_drain),
        ("ministack.core.lambda_runtime", "zipfile", functools.partial(lambda_patches.link_unpacked_code, code_cache)),
        (
            "ministack.services.cloudformation.provisioners",
            "_cw_metric_alarm_record",
            cloudwatch_patches.accept_metric_math,
        ),
        ("ministack.services.dynamodb", "_index_order_keys", dynamodb_patches.order_by_hash_first),
        ("ministack.services.sqs", "_collect_msgs", sqs_patches.share_fairly),
        ("ministack.services.sqs", "asyncio", sqs_patches.look_often),
        (
            "ministack.core.iam_evaluator",
            "enforce",
            functools.partial(iam_patches.log_decisions, iam_patches.role_of),
        ),
        ("ministack.core.iam_evaluator", "enforce", iam_patches.check_single_actions),
        ("ministack.services.apigateway_v1", "_media_type_matches", http_patches.match_any_media_type),
        ("ministack.app", "pin_request_origin", http_patches.treat_as_tls),
        ("ministack.app", "app", http_patches.cancel_on_disconnect),
    ]


def limit_access(rules: AccessRules) -> list[tuple[str, str, Patch]]:
    """List the further patches that let only one `up` use the emulator."""
    functions = functools.partial(access_patches.admit_functions, rules)
    replaced: list[tuple[str, str, Patch]] = [
        ("ministack.core.lambda_runtime", "hashlib", functools.partial(access_patches.keyed_hashes, rules)),
        ("ministack.core.lambda_runtime", "execution_credentials", functions),
        ("ministack.services.lambda_svc", "execution_credentials", functions),
        ("ministack.services.sts", "register_session", functools.partial(access_patches.admit_sessions, rules)),
        ("ministack.app", "app", functools.partial(access_patches.refuse_strangers, rules)),
    ]
    if not rules.whole:
        replaced.append(("ministack.services.lambda_svc", "_execute_function_dispatch", access_patches.run_no_function))
    return replaced


def keep_state(recorder: StateRecorder) -> list[tuple[str, str, Patch]]:
    """List the further patches that keep what is in the stores over a restart."""
    provisioners = "ministack.services.cloudformation.provisioners"
    note_signer = functools.partial(state_patches.note_signer, recorder)
    return [
        ("ministack.services.dynamodb", "_set_item", functools.partial(state_patches.note_set, recorder)),
        ("ministack.services.dynamodb", "_remove_item", functools.partial(state_patches.note_removed, recorder)),
        ("ministack.services.dynamodb", "handle_request", functools.partial(state_patches.write_items_first, recorder)),
        (
            "ministack.services.secretsmanager",
            "handle_request",
            functools.partial(state_patches.write_secrets_first, recorder),
        ),
        ("ministack.services.sqs", "_queues", functools.partial(state_patches.keep_messages, recorder)),
        ("ministack.services.s3", "S3_PERSIST", state_patches.keep_bodies_on_disk),
        ("ministack.services.s3", "_read_body", state_patches.map_large_bodies),
        ("ministack.services.s3", "_get_object_data", state_patches.unmap_whole_body),
        ("ministack.services.s3", "handle_request", state_patches.unmap_answer),
        ("ministack.core.lambda_runtime", "execution_credentials", note_signer),
        ("ministack.services.lambda_svc", "execution_credentials", note_signer),
        (provisioners, "_RESOURCE_HANDLERS", functools.partial(state_patches.restore_when_made, recorder)),
    ]


def apply_patch(module: str, name: str, make_replacement: Patch) -> None:
    """Replace `name` of `module`. Ends the process with one line if the name does not exist."""
    *owners, last = name.split(".")
    try:
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, last, make_replacement(getattr(owner, last)))
    except (ImportError, AttributeError):
        sys.exit(f"this MiniStack has no {module}.{name}: the patches fit the version in toolchain/locks/ministack.txt")


if __name__ == "__main__":
    main()

"""Patches of Lambda: each makes MiniStack's new function from its old one."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coatcheck_infra.local.code_cache import digest
from coatcheck_infra.local.ministack.environment_limiter import EnvironmentLimiter

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB, and a little for the envelope
LARGEST_REPLY = 6 * 1024 * 1024 + 100

Function = Callable[..., Any]


def limit_environments(limiters: Mapping[str, EnvironmentLimiter], execute: Function) -> Function:
    """`execute` with few environments of each function, Lambda's limit of a reply, and errors in the log."""

    def executed(func: dict[str, Any], config: dict[str, Any], *rest: Any) -> dict[str, Any]:
        name = config["FunctionName"]
        with limiters[name].slot():
            result = limit_reply_size(execute(func, config, *rest))
        if result.get("error"):
            for line in result.get("log", "").splitlines() or [json.dumps(result["body"])]:
                write_log_line(name, line)
        return result

    return executed


def report_start(limiters: Mapping[str, EnvironmentLimiter], spawn: Function) -> Function:
    """`spawn` whose end is noticed."""

    def spawned(worker: Any) -> None:
        try:
            spawn(worker)
        finally:
            limiters[worker.func_name].started()

    return spawned


def limit_reply_size(result: dict[str, Any]) -> dict[str, Any]:
    """`result`, or what Lambda answers instead of a reply that is too large."""
    if len(json.dumps(result.get("body")).encode()) <= LARGEST_REPLY:
        return result
    message = f"Response payload size exceeded maximum allowed payload size ({LARGEST_REPLY} bytes)."
    body = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
    return result | {"body": body, "error": True}


def numeric_concurrency(concurrency: Function) -> Function:
    """`concurrency` for an event source mapping whose MaximumConcurrency came from a parameter, as a string."""

    def of_mapping(mapping: dict[str, Any], *rest: Any) -> Any:
        limits = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return concurrency({**mapping, "ScalingConfig": limits}, *rest)

    return of_mapping


def stream_stderr(_read_stderr: Function) -> Function:
    """Hands on each line of a function at once; MiniStack has them when the call is over, 15 minutes late."""

    def read_stderr(worker: Any) -> None:
        for line in worker._proc.stderr:  # noqa: SLF001 - a patch is a part of what it patches
            write_log_line(worker.func_name, line.rstrip("\n"))

    return read_stderr


def skip_stderr_drain(_drain_stderr: Function) -> Function:
    """What there is to collect after a call: nothing, so no wait for it."""
    return lambda _worker, **_waits: ""


def link_unpacked_code(code_cache: Path, zipfile: Any) -> Any:
    """`zipfile` whose ZipFiles leave a link to the copy in `code_cache`, where there is one, instead of unpacking."""

    class Linking(zipfile.ZipFile):  # type: ignore[misc]
        def extractall(self, path: str, *_: Any) -> None:
            archive = Path(self.filename)
            copy = code_cache / digest(archive)
            if not copy.exists():
                super().extractall(path)
                return
            Path(path).rmdir()
            Path(path).symlink_to(copy)
            archive.unlink()  # this one is MiniStack's own copy for this environment

    return types.SimpleNamespace(ZipFile=Linking, BadZipFile=zipfile.BadZipFile)


def write_log_line(function: str, line: str) -> None:
    """Write a line of `function` so that the reader of this log knows it for one."""
    sys.stdout.write(f"lambda {function} {line}\n")
    sys.stdout.flush()

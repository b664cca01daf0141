"""Patches of Lambda: each makes the replacement of a MiniStack function from the original."""

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
    """Wrap `execute` to limit environments per function, apply Lambda's limit of a response, and log errors."""

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
    """Wrap `spawn` to report its end to the limiter."""

    def spawned(worker: Any) -> None:
        try:
            spawn(worker)
        finally:
            limiters[worker.func_name].started()

    return spawned


def limit_reply_size(result: dict[str, Any]) -> dict[str, Any]:
    """Return `result`, or Lambda's error if the response is too large."""
    if len(json.dumps(result.get("body")).encode()) <= LARGEST_REPLY:
        return result
    message = f"Response payload size exceeded maximum allowed payload size ({LARGEST_REPLY} bytes)."
    body = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
    return result | {"body": body, "error": True}


def numeric_concurrency(concurrency: Function) -> Function:
    """Wrap `concurrency` to accept a MaximumConcurrency that is a string because it comes from a parameter."""

    def of_mapping(mapping: dict[str, Any], *rest: Any) -> Any:
        limits = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return concurrency({**mapping, "ScalingConfig": limits}, *rest)

    return of_mapping


def stream_stderr(_read_stderr: Function) -> Function:
    """Forward each line of a function immediately. MiniStack has them only after the call, up to 15 minutes late."""

    def read_stderr(worker: Any) -> None:
        for line in worker._proc.stderr:
            write_log_line(worker.func_name, line.rstrip("\n"))

    return read_stderr


def skip_stderr_drain(_drain_stderr: Function) -> Function:
    """Return no output after a call, without a wait: the lines were forwarded already."""
    return lambda _worker, **_waits: ""


def link_unpacked_code(code_cache: Path, zipfile: Any) -> Any:
    """Return a `zipfile` whose ZipFiles do not unpack but link to the copy in `code_cache`, if there is one."""

    class Linking(zipfile.ZipFile):  # type: ignore[misc]
        def extractall(self, path: str, *_: Any) -> None:
            archive = Path(self.filename)
            copy = code_cache / digest(archive)
            if not copy.exists():
                super().extractall(path)
                return
            Path(path).rmdir()
            Path(path).symlink_to(copy)
            archive.unlink()  # the archive is MiniStack's own copy for this environment

    return types.SimpleNamespace(ZipFile=Linking, BadZipFile=zipfile.BadZipFile)


def write_log_line(function: str, line: str) -> None:
    """Write a line of `function` in the form that the reader of this log recognizes."""
    sys.stdout.write(f"lambda {function} {line}\n")
    sys.stdout.flush()

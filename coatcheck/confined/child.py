"""The confined process itself: confines itself, imports the function, calls it, and reports.

Its standard input is the request. What it reports goes to what was its standard output, a JSON object a line: what is
in force, progress, and at last the value or why there is none. Whatever is printed goes to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from coatcheck.authoring.retry import Reject
from coatcheck.confined.context import ConfinedContext
from coatcheck.confined.protections import Walls, confine

NO_SPACE_LEFT_TO_IT = (errno.EFBIG, errno.EDQUOT)


def main() -> None:
    """Do what the request on standard input asks, and end."""
    request = json.load(sys.stdin)
    report = _take_standard_streams()
    report(protections=confine(Walls(**request["walls"])))
    report(**_answer(request, report))
    # no handler of exit, no thread of a library, keeps it
    sys.stderr.flush()
    os._exit(0)


def _take_standard_streams() -> Callable[..., None]:
    """Return what reports; standard input is empty from now on, and standard output goes to standard error."""
    pipe = os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)

    def report(**fields: object) -> None:
        left = memoryview(json.dumps(fields).encode() + b"\n")
        while left:
            left = left[os.write(pipe, left) :]

    return report


def _answer(request: dict[str, Any], report: Callable[..., None]) -> dict[str, object]:
    """Return the last report: the value, as JSON in a text, or why there is none."""
    try:
        module, _, name = request["function"].partition(":")
        function = getattr(import_module(module), name)
        ctx = ConfinedContext(
            files={name: Path(path) for name, path in request["files"].items()},
            output=Path(request["output"]),
            scratch=Path(request["scratch"]),
            report=lambda fraction, message: report(fraction=fraction, message=message),
        )
        return {"value": json.dumps(function(request["argument"], ctx), allow_nan=False)}
    except Reject as error:
        return {"rejected": str(error.reason)}
    except MemoryError:
        return {"limit": "memory"}
    # the function's and its libraries' own: the parent learns the class, the log the rest
    except BaseException as error:  # noqa: BLE001
        if isinstance(error, OSError) and error.errno in NO_SPACE_LEFT_TO_IT:
            return {"limit": "disk"}
        traceback.print_exc()
        return {"failed": type(error).__name__}

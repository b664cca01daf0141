"""The text that `up` shows when the stack is ready."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from coatcheck_infra.local.home import StackEndpoint
from coatcheck_infra.local.stack_context import WEBHOOK_TARGETS

SETTING = " ".join(f"{variable}={value}" for variable, value in WEBHOOK_TARGETS.items())
EXAMPLE = '{"seconds": 5, "steps": 5}'


def banner(endpoint: StackEndpoint, home: Path, seconds: float) -> RenderableType:
    """Build the banner: the stack's URLs, the API key, where webhooks may go, and three commands to try."""
    places = {"API": endpoint.url, "Docs": f"{endpoint.url}/docs", "Key": endpoint.api_key}
    return Group(
        Text(f"\n  Coatcheck is ready ({seconds:.1f} s).\n", style="bold green"),
        *(Text.assemble(f"  {name:<6}", (place, "bold")) for name, place in places.items()),
        Text(f"\n  Webhooks may go to this machine, over http too ({SETTING})."),
        Text("\n  Try, in another terminal:\n"),
        *(Text(f"    {command}") for command in commands(endpoint, home)),
        Text("\n  Ctrl-C stops everything. Jobs and files are kept: up --fresh begins without them.\n", style="dim"),
    )


def commands(endpoint: StackEndpoint, home: Path) -> list[str]:
    """Return three commands to try, ready to paste in the folder where `up` was started."""
    body = f'{{"type": "demo.sleep", "input": {EXAMPLE}}}'
    headers = f"-H 'Authorization: Bearer {endpoint.api_key}' -H 'Content-Type: application/json'"
    # .coatcheck is the default of the commands
    elsewhere = "" if home == Path(".coatcheck").resolve() else f"COATCHECK_HOME={shlex.quote(str(home))} "
    return [
        f"curl -s {endpoint.url}/v1/jobs {headers} -d '{body}'",
        f"{elsewhere}{_coatcheck()} submit demo.sleep --input '{EXAMPLE}' --wait",
        f"{elsewhere}{_coatcheck()} list",
    ]


def _coatcheck() -> str:
    """Return the command as it can be typed here: its name if the shell finds it, else its path."""
    script = Path(sys.executable).with_name("coatcheck")
    if shutil.which("coatcheck") == str(script):
        return "coatcheck"
    here = Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)

"""The text that `up` shows when the stack is ready."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from coatcheck_infra.local.home import TENANT, StackEndpoint
from coatcheck_infra.local.local_template import WEBHOOK_TARGETS

SETTING = " ".join(f"{variable}={value}" for variable, value in WEBHOOK_TARGETS.items())
DEMO = "demo.sleep"
EXAMPLE = '{"seconds": 5, "steps": 5}'


@dataclass(frozen=True)
class BannerFacts:
    """What is shown. `served` are the job types by lane, `runners` how many jobs of a lane run at the same time.

    `home_is_found` says whether the commands find `home` in this folder by themselves.
    """

    endpoint: StackEndpoint
    home: Path
    api_keys: Mapping[str, str]
    served: Mapping[str, Sequence[str]]
    runners: int | None
    home_is_found: bool


def banner(facts: BannerFacts, seconds: float) -> RenderableType:
    """Build the banner: the stack's URLs, the keys, what is served, where webhooks may go, and commands to try."""
    endpoint = facts.endpoint
    places = {"API": endpoint.url, "Docs": f"{endpoint.url}/docs", "Key": endpoint.api_key}
    if others := [tenant for tenant in facts.api_keys if tenant != TENANT]:
        places["Keys"] = f"of {', '.join(others)}: {_shown(facts.home / 'keys.json')}"
    return Group(
        Text(f"\n  Coatcheck is ready ({seconds:.1f} s).\n", style="bold green"),
        *(Text.assemble(f"  {name:<6}", (place, "bold")) for name, place in places.items()),
        Text(""),
        *(Text(f"  {line}") for line in serving_lines(facts.served, facts.runners)),
        Text(f"  Webhooks may go to this machine, over http too ({SETTING})."),
        Text("\n  Try, in another terminal:\n"),
        *(Text(f"    {command}") for command in commands(facts)),
        Text("\n  Ctrl-C stops everything. Jobs and files are kept: up --fresh begins without them.\n", style="dim"),
    )


def serving_lines(served: Mapping[str, Sequence[str]], runners: int | None) -> Iterator[str]:
    """Yield a line on each lane, such as `serving text.words (lane default, 2 runners)`."""
    count = "" if runners is None else f", {runners} runner{'s' if runners > 1 else ''}"
    for lane, names in sorted(served.items()):
        yield f"serving {', '.join(sorted(names))} (lane {lane}{count})"


def commands(facts: BannerFacts) -> list[str]:
    """Return three commands to try, ready to paste in the folder where `up` was started."""
    endpoint = facts.endpoint
    coatcheck = _coatcheck()
    if not facts.home_is_found:
        coatcheck = f"COATCHECK_HOME={shlex.quote(str(facts.home))} {coatcheck}"
    key = f"-H 'Authorization: Bearer {endpoint.api_key}'"
    names = sorted(name for served in facts.served.values() for name in served)
    if DEMO in names:
        body = f'-H \'Content-Type: application/json\' -d \'{{"type": "{DEMO}", "input": {EXAMPLE}}}\''
        return [
            f"curl -s {endpoint.url}/v1/jobs {key} {body}",
            f"{coatcheck} submit {DEMO} --input '{EXAMPLE}' --wait",
            f"{coatcheck} list",
        ]
    return [
        f"curl -s {endpoint.url}/v1/job-types {key}",
        f"{coatcheck} types {names[0]}",
        f"{coatcheck} run {names[0]} --help",
    ]


def _coatcheck() -> str:
    """Return the command as it can be typed here: by uv if uv runs this, its name if the shell finds it, or its path.

    uv sets UV_RUN_RECURSION_DEPTH for what it runs, and the environment's programs are found in there alone.
    """
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return "uv run coatcheck"
    script = Path(sys.executable).with_name("coatcheck")
    return "coatcheck" if shutil.which("coatcheck") == str(script) else _shown(script)


def _shown(path: Path) -> str:
    """Return a path as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

"""The patches against the MiniStack that is installed."""

from __future__ import annotations

import os
import subprocess

from coatcheck_infra.toolchain.environments import MINISTACK
from tests.repository import ROOT


def under_ministack(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MINISTACK.python(os.environ), "-c", code], cwd=ROOT / "infra", capture_output=True, text=True, check=False
    )


def test_every_name_is_there() -> None:
    applied = under_ministack(
        "from pathlib import Path\n"
        "from coatcheck_infra.local.ministack.__main__ import apply_patch, patches\n"
        "for one in patches(Path('nowhere')): apply_patch(*one)\n"
    )
    assert (applied.returncode, applied.stderr) == (0, "")


def test_a_name_that_is_not_there_ends_the_start_with_one_line() -> None:
    for module, name in (("ministack.app", "nothing"), ("ministack.nothing", "app"), ("ministack.app", "app.x.y")):
        failed = under_ministack(
            f"from coatcheck_infra.local.ministack.__main__ import apply_patch; apply_patch({module!r}, {name!r}, id)"
        )
        assert failed.returncode == 1
        assert failed.stderr == (
            f"this MiniStack has no {module}.{name}: the patches fit the version in toolchain/locks/ministack.txt\n"
        )

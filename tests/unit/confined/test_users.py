"""Another user for what root confines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from coatcheck import LocalContext, confined
from coatcheck.confined import Protection
from tests.repository import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the protections are Linux's")


class Number(BaseModel):
    number: int


@pytest.fixture
def passable(in_force: frozenset[Protection]) -> Iterator[LocalContext]:
    """An attempt whose folder can be reached by another user, as a worker's can."""
    if Protection.OTHER_USER not in in_force:
        pytest.skip("this machine has no protection other-user: no root, or a Python that only root can read")
    with tempfile.TemporaryDirectory() as folder:
        yield LocalContext(Path(folder))


def user_of(ctx: LocalContext, **files: Path) -> int:
    answer = confined.run(ctx, "tests.unit.confined.functions:user", returns=Number, files=files)
    assert answer.files["made"].read_text() == "x"
    return answer.value.number


def test_root_gives_each_call_a_user_of_its_own(passable: LocalContext) -> None:
    users = {user_of(passable) for _ in range(3)}
    assert len(users) == 3
    assert 0 not in users


def test_a_file_that_the_other_user_cannot_read_keeps_root(passable: LocalContext, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("x")
    (tmp_path / "given").chmod(0o600)
    assert user_of(passable, given=tmp_path / "given") == 0


@pytest.mark.usefixtures("passable")
def test_a_folder_that_the_other_user_cannot_reach_keeps_root(ctx: LocalContext, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert user_of(ctx) == 0


TRY = """
import os, sys
from coatcheck.confined.users import become_another
assert become_another("os", [], [sys.argv[2]])
for path in (sys.argv[1], f"/proc/{os.getppid()}/environ"):
    try:
        print("reached", open(path).read())
    except OSError as error:
        print(type(error).__name__)
try:
    os.setuid(0)
except OSError as error:
    print(type(error).__name__)
"""


def test_the_other_user_reaches_nothing_of_roots(passable: LocalContext, tmp_path: Path) -> None:
    """Without any other protection."""
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "secret").chmod(0o600)
    owned = passable.workdir / "owned"
    owned.mkdir()
    passable.workdir.chmod(0o711)
    command = [sys.executable, "-c", TRY, str(tmp_path / "secret"), str(owned)]
    tried = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert tried.stdout.split() == ["PermissionError"] * 3, tried.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root has another user")
def test_others_keep_their_user(ctx: LocalContext) -> None:
    assert user_of(ctx) == os.getuid()
